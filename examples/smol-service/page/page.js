const [load, form, text, news] = ["load", "form", "text", "news"].map((id) => document.getElementById(id));

new EventSource("/load").addEventListener("message", (event) => {
    const value = JSON.parse(event.data);
    load.textContent = value.message ?? value;
});

const stream = new EventSource("/news");
stream.addEventListener("message", (event) => show(event.data));
stream.addEventListener("sse-gap", () => show("… some news are forgotten …"));

form.addEventListener("submit", (event) => {
    event.preventDefault();
    fetch("/news", { method: "POST", body: text.value });
    form.reset();
});

// Text of others is only text.
function show(line) {
    const item = document.createElement("li");
    item.textContent = line;
    news.prepend(item);
}
