const [form, prompt, stop, answer, state] = ["form", "prompt", "stop", "answer", "state"].map((id) => document.getElementById(id));
let source;

form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(prompt.value);
});
stop.addEventListener("click", () => end("stopped"));

// An id of its own makes it a generation of its own.
function ask(text) {
    source?.close();
    const id = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    source = new EventSource(`/answers/${id}?prompt=${encodeURIComponent(text)}`);
    stop.disabled = false;
    // Also after a connection that was lost: the answer is generated anew.
    source.addEventListener("open", () => {
        answer.textContent = "";
        state.textContent = "answering";
    });
    source.addEventListener("message", (event) => (answer.textContent += event.data));
    // Without the close the browser would come back, and start another generation.
    source.addEventListener("sse-end", () => end("complete"));
    source.addEventListener("error", () => (state.textContent = "lost, trying again"));
}

function end(how) {
    source.close();
    stop.disabled = true;
    state.textContent = how;
}
