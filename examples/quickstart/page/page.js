// What the page does: it opens two streams, draws what comes, and lets you cut and restore them.
// Text of others only ever becomes `textContent`.

const WINDOW = 120_000; // ms that the charts show
const LANE = 60_000; // ms that the lanes show
const SILENCE = 17_000; // three heartbeats and a bit: the connection is dead although nobody said so
const REDRAW = 500; // ms

const $ = (id) => document.getElementById(id);
const svg = (name, className) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    element.setAttribute("class", className);
    return element;
};
const html = (name, className, text = "") => {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    return element;
};
const fixed = (digits) => {
    const format = new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return (value) => format.format(value);
};
const whole = fixed(0), tenths = fixed(1), hundredths = fixed(2);
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

// ---------------------------------------------------------------- a stream and its lane

/// One EventSource, what has become of it, and its lane of marks.
class Stream {
    constructor(path, lane, names) {
        this.path = path;
        this.names = names; // event name → function
        this.state = "connecting";
        this.source = null;
        this.id = ""; // of the last event that had one: where a new connection goes on
        this.last = 0; // when something came
        this.beat = 0; // when a heartbeat came
        this.marks = []; // { at, kind, n }
        this.off = [{ from: performance.now(), to: Infinity }]; // times without a connection
        this.lane = lane;
        this.label = lane.querySelector(".is");
        this.age = lane.querySelector(".age");
        this.button = lane.querySelector("button");
        this.picture = lane.querySelector("svg");
        this.paths = Object.fromEntries(["cut", "edge", "event", "beat", "gap"].map((kind) => {
            const path = svg("path", `m-${kind}`);
            this.picture.append(path);
            return [kind, path];
        }));
        this.width = 0;
        new ResizeObserver(([entry]) => {
            this.width = entry.contentRect.width;
            this.draw(performance.now());
        }).observe(this.picture);
        this.button.addEventListener("click", () => (this.source ? this.cut("cut") : this.open()));
    }

    /// Connects. EventSource cannot be handed the header Last-Event-ID, so the id goes into the query; when
    /// the browser reconnects by itself it sends the header, which wins.
    open() {
        this.close();
        const resume = this.id ? `?lastEventId=${encodeURIComponent(this.id)}` : "";
        const source = new EventSource(this.path + resume);
        this.source = source;
        this.last = performance.now();
        this.become("connecting");
        source.addEventListener("open", () => {
            this.last = performance.now();
            this.become("open");
            log("open", this.id ? `${this.path} goes on after` : `${this.path} opened`, this.id);
        });
        source.addEventListener("error", () => {
            const refused = source.readyState === EventSource.CLOSED;
            if (refused) this.close();
            const was = this.state;
            this.become(refused ? "refused" : "waiting");
            if (was !== this.state) log("cut", refused ? `${this.path} was refused` : `${this.path} has ended; the browser tries again`);
        });
        const on = (name, what) => source.addEventListener(name, (event) => {
            if (event.lastEventId) this.id = event.lastEventId;
            this.last = performance.now();
            what(event);
        });
        for (const [name, what] of Object.entries(this.names)) {
            on(name, (event) => {
                this.mark("event");
                what(event);
            });
        }
        on("sse-heartbeat", () => {
            this.beat = this.last;
            this.mark("beat");
            log("beat", `on ${this.path}`);
        });
        on("sse-gap", (event) => {
            this.mark("gap");
            gap(this, event);
        });
    }

    /// Ends the connection from this side: the server sees a peer that went.
    cut(state) {
        this.close();
        this.become(state);
        if (state === "cut") log("cut", `${this.path} cut here${this.id ? ", after" : ""}`, this.id);
    }

    close() {
        this.source?.close();
        this.source = null;
    }

    become(state) {
        const now = performance.now();
        const wasOff = this.off.at(-1)?.to === Infinity;
        if (state === "open" && wasOff) this.off.at(-1).to = now;
        if (state !== "open" && !wasOff) this.off.push({ from: now, to: Infinity });
        this.state = state;
        this.lane.dataset.state = state;
        this.label.textContent = STATES[state];
        this.button.textContent = this.source ? "Cut" : "Restore";
        this.button.setAttribute("aria-label", `${this.button.textContent} ${this.path}`);
        changed();
    }

    mark(kind) {
        const at = performance.now();
        const newest = this.marks.at(-1);
        if (newest?.kind === kind && at - newest.at < 250) newest.n += 1;
        else this.marks.push({ at, kind, n: 1 });
    }

    /// Once in a while: whether anything still comes, how long ago something came, and the lane.
    tick(now) {
        if (this.state === "open" && now - this.last > SILENCE) {
            log("error", `${this.path} is silent; connecting anew`);
            this.open();
        }
        const ago = (at) => `${tenths(Math.max(0, now - at) / 1000)} s ago`;
        let age = "nothing yet";
        if (this.beat && this.beat >= this.last) age = `heartbeat ${ago(this.beat)}`;
        else if (this.last && this.marks.length) age = `event ${ago(this.last)}`;
        this.age.textContent = age;
        this.draw(now);
    }

    draw(now) {
        const from = now - LANE, scale = (this.width - 5) / LANE; // the newest is not cut off
        const x = (at) => ((at - from) * scale).toFixed(1);
        while (this.marks.length && this.marks[0].at < from) this.marks.shift();
        while (this.off.length && this.off[0].to < from) this.off.shift();
        const d = { cut: "", edge: "", event: "", beat: "", gap: "" };
        for (const { at, kind, n } of this.marks) {
            if (kind === "event") {
                const half = Math.min(18, 9 + 2 * Math.log2(n));
                d.event += `M${x(at)} ${20 - half}V${20 + half}`;
            }
            if (kind === "beat") d.beat += `M${x(at)} 20m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0`;
            if (kind === "gap") d.gap += `M${x(at)} 1l6 10h-12z`;
        }
        for (const { from: begin, to } of this.off) {
            const [a, b] = [x(Math.max(begin, from)), x(Math.min(to, now))];
            d.cut += `M${a} 3H${b}V37H${a}z`;
            d.edge += `M${a} 3V37M${b} 3V37`;
        }
        for (const [kind, path] of Object.entries(this.paths)) path.setAttribute("d", d[kind]);
    }
}

const STATES = {
    connecting: "connecting", open: "open", waiting: "reconnecting", cut: "cut", refused: "refused", hidden: "resting",
};

// ---------------------------------------------------------------- figures and charts

const figures = []; // of the last two minutes: { at, cpu, memory, load, network }
let figuresAt = 0; // performance.now() of the newest
let stale = true; // the charts want drawing

function machine(event) {
    const figure = parse(event.data);
    if (!figure || !Array.isArray(figure.cpu)) {
        log("error", figure?.message ? `the poll failed: ${figure.message}` : "figures that cannot be read");
        return;
    }
    if (figures.length && figure.at <= figures.at(-1).at) figures.length = 0; // the clock was set back
    figures.push(figure);
    while (figures[0].at < figure.at - WINDOW - 5000) figures.shift();
    figuresAt = performance.now();
    stale = true;
    if ($("show-figures").checked) {
        log("figures", `CPU ${whole(mean(figure.cpu))} %`, event.lastEventId);
    }
}

/// Lines over the last two minutes, broken where nobody looked.
class Chart {
    constructor(picture, ...picks) {
        picture.setAttribute("viewBox", "0 0 1000 100");
        picture.setAttribute("preserveAspectRatio", "none");
        this.rule = svg("path", "t-rule");
        this.lines = picks.map((pick, k) => {
            const more = k ? " second" : "";
            const [area, line] = [svg("path", `t-area${more}`), svg("path", `t-line${more}`)];
            picture.append(area, line);
            return { pick, area, line };
        });
        picture.append(this.rule);
    }

    draw(now, top, rule) {
        const x = (at) => (1000 - ((now - at) / WINDOW) * 1000).toFixed(1);
        const y = (value) => (99 - 97 * Math.min(1, Math.max(0, value / top))).toFixed(2);
        this.rule.setAttribute("d", rule ? `M0 ${y(rule)}H1000` : "");
        for (const { pick, area, line } of this.lines) {
            let strokes = "", areas = "", run = [];
            const end = () => {
                if (!run.length) return;
                const path = run.map(([a, b]) => `${a} ${b}`).join("L");
                strokes += `M${path}${run.length === 1 ? "h2" : ""}`;
                areas += `M${run[0][0]} 100L${path}L${run.at(-1)[0]} 100z`;
                run = [];
            };
            let before;
            for (const figure of figures) {
                const value = pick(figure);
                if (before && figure.at - before > 2600) end();
                before = figure.at;
                if (Number.isFinite(value)) run.push([x(figure.at), y(value)]);
            }
            end();
            line.setAttribute("d", strokes);
            area.setAttribute("d", areas);
        }
    }
}

const charts = {
    cpu: new Chart($("cpu-chart"), (f) => mean(f.cpu)),
    memory: new Chart($("memory-chart"), (f) => f.memory.used),
    load: new Chart($("load-chart"), (f) => f.load?.[0]),
    network: new Chart($("network-chart"), (f) => f.network.in, (f) => f.network.out),
};
const cores = []; // { number, chart }

/// As many cells as there are cores, in rows that are full if that can be.
function cells(count) {
    if (cores.length === count) return;
    const list = $("cores"), many = count > 16;
    list.dataset.many = many;
    list.style.setProperty("--columns", many ? 8 : count <= 5 ? count : [4, 5, 3].find((n) => count % n === 0) ?? 4);
    while (cores.length < count) {
        const k = cores.length;
        const cell = html("li", "core"), line = html("p", ""), paper = html("div", "paper"), picture = svg("svg", "");
        const number = html("b", "", "–");
        const name = html("span", "", `${k}`);
        name.prepend(html("span", "word", "core "));
        line.append(name, number);
        picture.setAttribute("aria-hidden", "true");
        paper.append(picture);
        cell.append(line, paper);
        list.append(cell);
        cores.push({ number, chart: new Chart(picture, (f) => f.cpu[k]) });
    }
    while (cores.length > count) {
        cores.pop();
        list.lastChild.remove();
    }
}

function drawFigures() {
    const figure = figures.at(-1);
    if (!figure) return;
    stale = false;
    const now = figure.at + Math.max(0, performance.now() - figuresAt - 1500); // goes on while nothing comes
    const { cpu, memory, load, network } = figure;
    $("cpu").textContent = whole(mean(cpu));
    $("cpu-more").textContent = cpu.length === 1 ? "1 core" : `${cpu.length} cores, the busiest at ${whole(Math.max(...cpu))} %`;
    charts.cpu.draw(now, 100);
    cells(cpu.length);
    cores.forEach(({ number, chart }, k) => {
        number.textContent = `${whole(cpu[k])} %`;
        chart.draw(now, 100);
    });
    const gib = 2 ** 30;
    $("memory").textContent = hundredths(memory.used / gib);
    $("memory-more").textContent = `of ${tenths(memory.total / gib)} GiB, ${whole((100 * memory.used) / memory.total)} %`;
    $("memory-chart-top").textContent = `${tenths(memory.total / gib)} GiB`;
    charts.memory.draw(now, memory.total);
    const [one, five, fifteen] = (load ?? []).map((value) => (value < 9.995 ? hundredths : tenths)(value));
    $("load").textContent = one ?? "not told";
    $("load-others").textContent = load ? `${five}  ${fifteen}` : "";
    const loadTop = Math.max(cpu.length * 1.25, nice(Math.max(...figures.map((f) => f.load?.[0] ?? 0))));
    $("load-chart-top").textContent = `dashes: ${cpu.length === 1 ? "1 core" : `${cpu.length} cores`}`;
    charts.load.draw(now, loadTop, cpu.length);
    for (const way of ["in", "out"]) {
        [$(way).textContent, $(`${way}-unit`).textContent] = rate(network[way]);
    }
    const networkTop = nice(Math.max(10_000, ...figures.flatMap((f) => [f.network.in, f.network.out])));
    const [top, unit] = rate(networkTop);
    $("network-chart-top").textContent = `${Number(top)} ${unit}`;
    $("network-more").textContent = `peak ${rate(Math.max(...figures.flatMap((f) => [f.network.in, f.network.out]))).join(" ")}`;
    charts.network.draw(now, networkTop);
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
/// The next of 1, 2, 5, 10, 20, …
const nice = (value) => {
    const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
};
/// Bytes per second as three digits and a unit.
const rate = (bytes) => {
    const [unit, divisor] = bytes >= 999.5e6 ? ["GB/s", 1e9] : bytes >= 999.5e3 ? ["MB/s", 1e6] : ["kB/s", 1e3];
    const value = bytes / divisor;
    return [(value >= 99.95 ? whole : value >= 9.995 || value === 0 ? tenths : hundredths)(value), unit];
};

// ---------------------------------------------------------------- state of the server

let server = null; // what the server says of itself
let aside = null; // while /live is cut, its state comes from here

function told(event) {
    const state = parse(event.data);
    if (!state) return;
    server = state;
    $("s-streams").textContent = state.streams;
    $("s-watching").textContent = state.watching;
    $("s-poller").textContent = state.polling ? "running" : "stopped";
    $("s-poller").dataset.on = state.polling;
    $("s-starts").textContent = state.starts === 1 ? "once" : `${state.starts} times`;
    $("burst").textContent = `Post ${burst()}`;
    changed();
}

// ---------------------------------------------------------------- notes, and the log

let posted = 0; // while /notes is cut
let lastGap = null;

/// More than the server keeps.
const burst = () => (server?.notes_kept ?? 32) + 8;

function note(event) {
    log("note", event.data, event.lastEventId);
}

function gap(stream, event) {
    const { topic, missed, why } = parse(event.data) ?? {};
    const what = missed != null ? `${missed} events are gone` : why === "expired" ? "Events are gone" : "Events may be gone";
    const reason = {
        expired: "older than what the server keeps", unknown: "the id is not known", epoch: "the server was started anew",
        ahead: "the id is from the future", slow: "this client was too slow",
    }[why] ?? why;
    lastGap = { at: performance.now(), text: `Gap notice on ${stream.path}: ${what.toLowerCase()} (${reason}).` };
    log("gap", `${what} from ${topic}: ${reason}`, event.lastEventId);
    changed();
}

async function post(texts) {
    $("burst").disabled = true;
    let answer = "";
    try {
        for (const body of texts) {
            const response = await fetch("/notes", { method: "POST", body, signal: AbortSignal.timeout(10_000) });
            if (!response.ok) throw new Error(`the server answers ${response.status}: ${(await response.text()).trim()}`);
            answer = await response.json();
            if (notes.state === "cut") posted += 1;
        }
        const many = texts.length > 1 ? `Posted ${texts.length}` : "Posted";
        say(answer.subscribers ? `${many}, to ${streams(answer.subscribers)}.` : `${many}. Nobody listens; kept for later.`);
    } catch (error) {
        const text = error.name === "TimeoutError" ? "no answer. Browsers allow six connections: close a tab" : error.message;
        say(`Not posted: ${text}`, true);
    } finally {
        $("burst").disabled = false;
        changed();
    }
}

const streams = (n) => (n === 1 ? "1 stream" : `${n} streams`);
const say = (text, bad = false) => {
    $("said").textContent = text;
    $("said").dataset.bad = bad;
};

const KINDS = { beat: "heartbeat", gap: "gap notice" };
let beats = 0; // heartbeats told in the newest row

function log(kind, what, id = "") {
    const list = $("log"), newest = list.firstElementChild;
    if (id) $("last-id").textContent = id;
    if (kind === "beat" && newest?.classList.contains("beat")) {
        beats += 1;
        newest.querySelector(".what").textContent = `${beats} in a row`;
        newest.querySelector("time").textContent = clock.format();
        return;
    }
    beats = 1;
    const row = html("li", `${kind} new`);
    row.append(html("span", "kind", KINDS[kind] ?? kind), html("span", "what", what), html("time", "", clock.format()));
    if (id) row.append(html("span", "id", id));
    list.prepend(row);
    while (list.childElementCount > 250) list.lastElementChild.remove();
}

function parse(text) {
    try {
        return JSON.parse(text);
    } catch {
        return null;
    }
}

// ---------------------------------------------------------------- the whole

const live = new Stream("/live", $("lane-live"), { message: machine, state: told });
const notes = new Stream("/notes", $("lane-notes"), { message: note });
const both = [live, notes];

/// What follows from the states of the streams.
function changed() {
    const states = both.map((stream) => stream.state);
    const [state, text] = states.every((s) => s === "open") ? ["open", "Live"]
        : states.includes("refused") ? ["refused", "Refused"]
        : states.every((s) => s === "cut") ? ["cut", "Cut"]
        : states.includes("cut") ? ["part", "Partly cut"]
        : states.includes("waiting") ? ["waiting", "Reconnecting"] : ["connecting", "Connecting"];
    if ($("overall-text").textContent !== text) $("overall-text").textContent = text;
    $("overall").dataset.state = state;
    if (notes.state !== "cut") posted = 0;

    // Whoever cuts the figures still wants to see what the server does then.
    if (live.state === "cut" && !aside) {
        aside = new EventSource("/state");
        aside.addEventListener("state", told);
    } else if (live.state !== "cut" && aside) {
        aside.close();
        aside = null;
    }
    // Without a stream that tells it, the state is not known.
    if (["waiting", "refused"].includes(live.state)) {
        for (const id of ["s-streams", "s-watching", "s-poller", "s-starts"]) $(id).textContent = "–";
        $("s-poller").dataset.on = "";
        server = null;
    }
    const hint = advice();
    if ($("hint").textContent !== hint) $("hint").textContent = hint;
    $("hint").dataset.tone = states.includes("cut") ? "cut" : lastGap ? "gap" : "";
}

function advice() {
    if (notes.state === "cut") {
        const many = posted ? `${posted} posted meanwhile.` : "Post some notes now.";
        return `/notes is cut. ${many} Restore brings back what the server still has: the newest ${server?.notes_kept ?? "few"}.`;
    }
    if (live.state === "cut") {
        return server?.watching
            ? "/live is cut, but somebody else watches, so the poller goes on. Restore brings what this page has missed."
            : "/live is cut and nobody watches, so the server has stopped its poller. Restore starts it again.";
    }
    if (both.some((stream) => stream.state === "waiting")) {
        return "The server does not answer. The browser tries again by itself, after the time that the server gave it.";
    }
    if (lastGap && performance.now() - lastGap.at < 20_000) return lastGap.text;
    return `Cut /notes, post a few, restore: each arrives once. Post ${burst()} while it is cut, and a gap notice tells what is gone.`;
}

$("post").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("note").value.trim();
    if (!text) return;
    $("note").value = "";
    post([text]);
});
$("burst").addEventListener("click", () => post(Array.from({ length: burst() }, (_, k) => `note ${k + 1} of ${burst()}`)));
const filter = () => {
    $("log").classList.toggle("no-beats", !$("show-beats").checked);
    $("log").classList.toggle("no-figures", !$("show-figures").checked);
};
$("show-beats").addEventListener("change", filter);
$("show-figures").addEventListener("change", filter);
$("shell").textContent = `curl -d 'hello' ${location.origin}/notes`;

// A tab that nobody sees does not watch the machine; one that is put away holds no connection.
document.addEventListener("visibilitychange", () => {
    if (document.hidden && live.source) live.cut("hidden");
    else if (!document.hidden && live.state === "hidden") live.open();
});
window.addEventListener("pagehide", () => both.forEach((stream) => stream.source && stream.cut("hidden")));
window.addEventListener("pageshow", (event) => {
    if (event.persisted) both.forEach((stream) => stream.state === "hidden" && stream.open());
});

function frame() {
    if (document.hidden) return;
    const now = performance.now();
    for (const stream of both) stream.tick(now);
    if (stale || now - figuresAt > 2000) drawFigures();
    if (lastGap && now - lastGap.at > 20_000) {
        lastGap = null;
        changed();
    }
}

filter();
for (const stream of both) stream.open();
setInterval(frame, REDRAW);
