// Clients that do not reconnect by themselves: fetch with eventsource-parser as a strict reader, and curl.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { expected, post, same } from "./eventsource.mjs";
import { PATIENCE } from "./relay.mjs";

const require = createRequire(`${process.env.NODE_HOME}/node_modules/`);
const { createParser } = await import(require.resolve("eventsource-parser"));

/// Events, ids and reconnection times of these pieces of text. Whatever is not quite right is an error.
function strictly(pieces) {
    const read = { got: [], retries: [] };
    const parser = createParser({
        onEvent: ({ event = "message", data, id }) => read.got.push({ name: event, data, id: id ?? null }),
        onRetry: (retry) => read.retries.push(retry),
        onError: (error) => { throw error; },
    });
    for (const piece of pieces) parser.feed(piece);
    return read;
}

/// A stream's bytes as text, in pieces of a size.
function* inPieces(bytes, size) {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: false, fatal: true });
    for (let at = 0; at < bytes.length; at += size) yield decoder.decode(bytes.subarray(at, at + size), { stream: true });
}

async function stream(url, headers = {}) {
    const answer = await fetch(url, { headers, signal: AbortSignal.timeout(PATIENCE) });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-type"), "text/event-stream");
    return answer;
}

/// The first events of a stream, which is then left.
async function first(count, answer) {
    const { got } = { got: [] };
    const decoder = new TextDecoder("utf-8", { fatal: true });
    const parser = createParser({
        onEvent: ({ event = "message", data, id }) => got.push({ name: event, data, id }),
        onError: (error) => { throw error; },
    });
    for await (const piece of answer.body) {
        parser.feed(decoder.decode(piece, { stream: true }));
        if (got.length >= count) break; // and cancels
    }
    return got;
}

const texts = (events) => events.map(({ name, data }) => [name, data]);
const news = (...numbers) => numbers.map((number) => ["message", String(number)]);

export const fetches = {
    async "as published"({ base }) {
        const events = await (await fetch(`${base}/awkward.json`)).json();
        const wanted = [...events, { name: "sse-end", data: "{}", id: null, retry: null }];
        const bytes = new Uint8Array(await (await stream(`${base}/awkward/fetch`)).arrayBuffer());
        assert.ok(!bytes.includes(13), "no CR is sent");
        // The largest event, which is the last but one, in such small pieces is a test of patience.
        const few = bytes.subarray(0, bytes.length - (1 << 20));
        for (const [part, size] of [[few, 1], [few, 7], [bytes, 1000], [bytes, bytes.length]]) {
            const { got, retries } = strictly(inPieces(part, size));
            const seen = part === few ? wanted.slice(0, -2) : wanted;
            same(got, seen.map(({ name, data, id }) => ({ name, data, id })));
            assert.deepEqual(retries, seen.flatMap(({ retry }) => retry ?? []), `in pieces of ${size}`);
        }
    },
    async "resumes where it left"({ base }) {
        const url = `${base}/kept/fetch`;
        const answer = await stream(url);
        await post(url, [1, 2, 3].map(String));
        const got = await first(2, answer);
        await post(url, ["4"]);
        const rest = await first(2, await stream(url, { "Last-Event-ID": got[1].id }));
        assert.deepEqual(texts([...got.slice(0, 2), ...rest]), news(1, 2, 3, 4));
    },
    async "is told of a gap"({ base }) {
        const url = `${base}/short/fetch`; // keeps 4
        const answer = await stream(url);
        await post(url, ["1"]);
        const [{ id }] = await first(1, answer);
        await post(url, [2, 3, 4, 5, 6, 7].map(String));
        const [gap, ...rest] = await first(5, await stream(`${url}?lastEventId=${id}`));
        assert.deepEqual([gap.name, JSON.parse(gap.data)], ["sse-gap", { topic: "/short/fetch", missed: null, why: "expired" }]);
        assert.deepEqual(texts(rest), news(4, 5, 6, 7));
    },
};

/// Runs curl; its exit code and its output.
function curl(...args) {
    const child = spawn("curl", ["-sS", "--max-time", String(PATIENCE / 1000), ...args], { stdio: ["ignore", "pipe", "pipe"] });
    const chunks = [];
    const news = new Set();
    child.stdout.on("data", (chunk) => (chunks.push(chunk), news.forEach((look) => look())));
    let said = "";
    child.stderr.on("data", (chunk) => (said += chunk));
    const output = () => Buffer.concat(chunks);
    const done = new Promise((resolve, reject) => {
        child.on("error", reject).on("close", (code) => (resolve({ code, out: output(), said }), news.forEach((look) => look())));
    });
    return {
        done,
        leave: () => child.kill(),
        until: (text) => new Promise((resolve, reject) => {
            const look = () => output().includes(text) && resolve();
            done.then(({ code, said }) => reject(new Error(`curl ended without ${JSON.stringify(text)}, ${code}: ${said}`)));
            news.add(look);
            look();
        }),
    };
}

export const curls = {
    async "as published"({ base }) {
        // To the end, which is a good one; by both versions of HTTP.
        const wanted = await expected(base);
        for (const version of ["--http1.1", "--http1.0"]) {
            const { code, out, said } = await curl("-N", version, `${base}/awkward/curl${version}`).done;
            assert.equal(code, 0, said);
            let last = "";
            const got = strictly([out.toString("utf8")]).got.map(({ name, data, id }) => ({ name, data, id: (last = id ?? last) }));
            same(got, wanted);
        }
    },
    async "resumes where it left"({ base }) {
        const url = `${base}/kept/curl`;
        const one = curl("-N", url);
        await one.until(":\n\n");
        const { out } = await curl("-d", "1\n2", "-w", " %{http_code}", url).done;
        assert.equal(String(out), '{"subscribers":1} 201');
        await one.until("data: 1\ndata: 2\nid: ");
        await one.until(/\nid: \S+\n\n$/.exec(String((one.leave(), await one.done).out))?.[0] ?? "no event");
        const [, id] = /data: 2\nid: (\S+)\n/.exec(String((await one.done).out));
        await post(url, ["3"]);
        const two = curl("-N", "-H", `Last-Event-ID: ${id}`, url);
        await two.until("data: 3\n");
        two.leave();
        assert.ok(!String((await two.done).out).includes("data: 1"));
    },
    async "204 stops it"({ base }) {
        const { code, out } = await curl("-w", "%{http_code}", `${base}/enough/curl`).done;
        assert.deepEqual([code, String(out)], [0, "204"]);
    },
};
