// What an EventSource has to do: one list of checks for Chromium's, node's and npm's.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { Relay, PATIENCE, page } from "./relay.mjs";

/// Reads a stream until an event of a name, a number of events, or until the client gives up. Runs in node and in
/// Chromium, so it uses nothing from around it.
export function follow({ url, names, until, credentials, patience }, EventSource = globalThis.EventSource) {
    return new Promise((resolve, reject) => {
        const got = [];
        const source = new EventSource(url, { withCredentials: credentials === true });
        const end = (gaveUp) => {
            clearTimeout(timer);
            source.close();
            resolve({ got, gaveUp });
        };
        const timer = setTimeout(() => {
            source.close();
            const last = JSON.stringify(got.slice(-3)).slice(0, 500);
            reject(new Error(`${url}: waited in vain for ${JSON.stringify(until)} after ${got.length} events, the last ${last}`));
        }, patience);
        const take = (event) => {
            if (event.data === undefined) return; // `open` and `error` of the client itself
            got.push({ name: event.type, data: event.data, id: event.lastEventId });
            if (event.type === until.name || got.length === until.count) end(false);
        };
        for (const name of new Set(["message", "sse-gap", "sse-end", "sse-heartbeat", ...names])) source.addEventListener(name, take);
        source.addEventListener("error", (event) => event.data === undefined && source.readyState === 2 && end(true));
    });
}

/// Posts texts, one after the other.
export async function post(url, texts) {
    for (const text of texts) {
        const answer = await fetch(url, { method: "POST", body: text });
        assert.ok([201, 202].includes(answer.status), `${url} answers ${answer.status}`);
        await answer.arrayBuffer();
    }
}

/// The same events, or which is the first that is not.
export function same(got, wanted) {
    const differs = wanted.findIndex((event, at) => JSON.stringify(event) !== JSON.stringify(got[at]));
    const show = (event) => JSON.stringify(event ?? null).slice(0, 500);
    assert.ok(differs < 0, `event ${differs} is ${show(got[differs])} and not ${show(wanted[differs])}`);
    assert.equal(got.length, wanted.length, `more than was published: ${show(got.slice(wanted.length))}`);
}

/// What a client makes of the events at /awkward.json, up to the event that ends the stream: with each event goes the
/// last id, as the standard says, or only its own.
export async function expected(base, keepsId = true) {
    const events = await (await fetch(`${base}/awkward.json`)).json();
    let last = "";
    const wanted = events.map(({ name, data, id }) => ({ name, data, id: keepsId ? (last = id ?? last) : id ?? "" }));
    return [...wanted, { name: "sse-end", data: "{}", id: last }];
}

const isOpen = ({ streams: [first] }) => first?.body.includes(":\n\n");
const texts = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => String(from + at));
const lastId = (stream) => /\r\nlast-event-id: *([^\r]*)/i.exec(stream.asked)?.[1];
const retryOf = (stream) => Number(/\nretry: (\d+)\n/.exec(stream.body)?.[1]);

/// A check is told the server and gets a `follow` through a relay.
async function through(base, path, es, check) {
    const relay = await Relay.to(base, path);
    try {
        await check(relay, (more) => {
            const following = es.follow({ url: relay.url + path, names: [], patience: PATIENCE, ...more });
            following.catch(() => {}); // what fails first is told, be it this or what it is compared with
            return following;
        });
    } finally {
        relay.close();
    }
}

/// Does this after the stream has ended and before it comes back.
async function away(relay, meanwhile) {
    relay.hold();
    await relay.until("the end", ({ streams }) => streams[0].ended);
    await meanwhile();
    relay.letGo();
}

/// The streams of a relay came back after the time that they were told, with an id.
function cameBack({ streams }) {
    assert.equal(streams.length, 2, "it came back once");
    const waited = streams[1].at - streams[0].ended.at;
    // Timers of clients are early by a bit.
    assert.ok(waited >= retryOf(streams[0]) - 20, `it waited ${waited} ms and not ${retryOf(streams[0])}`);
}

export const checks = {
    async "as published"({ base, es }) {
        const wanted = await expected(base, es.keepsId);
        const path = `/awkward/${es.name}`;
        await through(base, path, es, async (_, follow) => {
            const { got } = await follow({ names: wanted.map(({ name }) => name), until: { name: "sse-end" } });
            same(got, wanted);
        });
    },
    async "resumes after a cut"({ base, es }) {
        const path = `/kept/${es.name}`;
        await through(base, path, es, async (relay, follow) => {
            relay.cutAt = "data: 4"; // in the middle of its frame
            const following = follow({ until: { count: 7 } });
            await relay.until("the first bytes", isOpen);
            await post(base + path, texts(1, 4));
            await away(relay, () => post(base + path, texts(5, 7)));
            const { got } = await following;
            assert.deepEqual(got.map(({ name, data }) => [name, data]), texts(1, 7).map((text) => ["message", text]));
            assert.equal(lastId(relay.streams[1]), got[2].id);
            cameBack(relay);
        });
    },
    async "is told of a gap"({ base, es }) {
        const path = `/short/${es.name}`; // keeps 4
        await through(base, path, es, async (relay, follow) => {
            relay.cutAt = "data: 2";
            const following = follow({ until: { count: 6 } });
            await relay.until("the first bytes", isOpen);
            await post(base + path, texts(1, 2));
            await away(relay, () => post(base + path, texts(3, 9)));
            const { got } = await following;
            const gap = JSON.stringify({ topic: path, missed: null, why: "expired" });
            const wanted = [["message", "1"], ["sse-gap", gap], ...texts(6, 9).map((text) => ["message", text])];
            assert.deepEqual(got.map(({ name, data }) => [name, data]), wanted);
            assert.equal(new Set(got.map(({ id }) => id)).size, 6, "each has an id of its own");
        });
    },
    async "returns after an end"({ base, es }) {
        const path = `/brief/${es.name}`;
        await through(base, path, es, async (relay, follow) => {
            const following = follow({ until: { count: 2 } });
            await relay.until("the first bytes", isOpen);
            await post(base + path, ["1"]);
            await relay.until("the event", ({ streams }) => streams[0].body.includes("data: 1\n"));
            assert.equal(await (await fetch(`${base}/end/${es.name}`)).text(), "Ok(1)");
            await away(relay, () => post(base + path, ["2"]));
            const { got } = await following;
            assert.deepEqual(got.map(({ data }) => data), ["1", "2"]);
            assert.equal(relay.streams[0].ended.how, "end");
            cameBack(relay);
        });
    },
    async "heartbeats between"({ base, es }) {
        const path = `/comments/${es.name}`;
        await through(base, path, es, async (relay, follow) => {
            const { got } = await follow({ until: { count: 5 } });
            assert.ok(relay.streams[0].body.match(/\n\n:(?=\n\n)/g)?.length > 3, "comments were sent");
            const numbers = got.map(({ data }) => Number(data));
            assert.ok(numbers.every((number, at) => at === 0 || number > numbers[at - 1]), String(numbers));
        });
        await through(base, `/heartbeats/${es.name}`, es, async (_, follow) => {
            const { got } = await follow({ until: { count: 6 } });
            assert.ok(got.some(({ name }) => name === "message") && got.some(({ name }) => name === "sse-heartbeat"), JSON.stringify(got));
        });
    },
    async "204 stops it"({ base, es }) {
        await through(base, `/enough/${es.name}`, es, async (relay, follow) => {
            const { gaveUp } = await follow({ until: { count: 1 } });
            assert.ok(gaveUp);
            assert.equal(relay.streams.length, 1);
        });
    },
};

/// Serves an empty page at a port of its own, by which it is a friend of the servers or a stranger.
export async function pageServer() {
    const server = createServer((socket) => socket.on("error", () => {}).once("data", () => socket.end(page)));
    server.listen(0);
    await new Promise((resolve, reject) => server.once("listening", resolve).once("error", reject));
    server.unref();
    return server.address().port;
}

/// The page at `origin` does all this with a server; what of it works, by name.
async function tried(context, origin, base) {
    const tab = await context.newPage();
    await tab.goto(`${origin}/page`);
    const follow_ = (path, credentials) => tab.evaluate(`(${follow})(${JSON.stringify({
        url: base + path, names: [], until: { count: 1 }, credentials, patience: PATIENCE,
    })}).then(({ gaveUp }) => !gaveUp)`);
    const fetch_ = (path, options) => tab.evaluate(([url, options]) => fetch(url, options).then(
        async (answer) => (await answer.body?.cancel(), answer.status), () => "refused"), [base + path, options]);
    const works = {
        stream: await follow_("/comments/page", false),
        "stream with credentials": await follow_("/comments/page", true),
        cookie: await follow_("/cookie/page", true),
        "no cookie": await follow_("/cookie/page", false),
        "fetch with Last-Event-ID": await fetch_("/comments/page", { headers: { "Last-Event-ID": "x-1" } }),
        post: await fetch_("/kept/page", { method: "POST", body: "x" }),
        "post with a preflight": await fetch_("/kept/page", { method: "POST", body: "{}", headers: { "Content-Type": "application/json" } }),
    };
    await tab.close();
    return works;
}

/// What only a browser does.
export async function cors({ context, base, withCredentials, friend, stranger }) {
    for (const host of [base, withCredentials]) {
        await context.addCookies([{ name: "door", value: "open", url: host }]);
    }
    const nothing = {
        stream: false, "stream with credentials": false, cookie: false, "no cookie": false,
        "fetch with Last-Event-ID": "refused", post: "refused", "post with a preflight": "refused",
    };
    const reads = { ...nothing, stream: true, "fetch with Last-Event-ID": 200, post: 202, "post with a preflight": 202 };
    const all = { ...reads, "stream with credentials": true, cookie: true };
    assert.deepEqual(await tried(context, friend, base), reads, "a friend, without credentials");
    assert.deepEqual(await tried(context, friend, withCredentials), all, "a friend, with credentials");
    for (const origin of stranger) {
        assert.deepEqual(await tried(context, origin, withCredentials), nothing, `a stranger, ${origin}`);
    }
}
