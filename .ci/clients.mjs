// Runs every client against every driver and prints a table. Called by .ci/clients; any failure: exit code 1.
// Usage: cargo test --workspace --test conformance --no-run --message-format=json | node clients.mjs
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { withChromium } from "./js/chromium.mjs";
import { checks, cors, follow, pageServer } from "./js/eventsource.mjs";
import { curls, fetches } from "./js/plain.mjs";

const require = createRequire(`${process.env.NODE_HOME}/node_modules/`);
const built = readFileSync(0, "utf8").trim().split("\n").map((line) => JSON.parse(line)).filter(({ executable }) => executable);
const drivers = Object.fromEntries(["tokio", "smol", "async-std"].map((driver) => {
    const program = built.find(({ manifest_path }) => manifest_path.endsWith(`/runtimes/${driver}/Cargo.toml`));
    if (program === undefined) throw new Error(`no server on ${driver} was built`);
    return [driver, program.executable];
}));
const python = ["httpx-sse: as published, resumes where it left, is told of a gap", "h11: as published, answers"];

/// A server with this setting; it ends with the standard input, so with this process.
async function serve(program, setting) {
    const child = spawn(program, [], { env: { ...process.env, SSE_STATE_CONFORMANCE: setting }, stdio: ["pipe", "pipe", "inherit"] });
    child.on("error", (error) => console.error(`clients: ${program}: ${error.message}`));
    for await (const line of createInterface({ input: child.stdout })) {
        return { base: `http://${line.trim()}`, stop: () => child.kill() };
    }
    throw new Error(`${program} does not say where it listens`);
}

const results = []; // { client, driver, check, error, seconds }

async function record(client, driver, check, run) {
    const start = performance.now();
    const error = await run().then(() => null, (error) => error.stack);
    results.push({ client, driver, check, error, seconds: (performance.now() - start) / 1000 });
}

/// Checks of one client, all at once.
const all = (client, driver, list, told) =>
    Promise.all(Object.entries(list).map(([check, run]) => record(client, driver, check, () => run(told))));

/// An EventSource of this class, in this process.
const here = (name, EventSource) => ({
    name: name.replace(" ", "-"),
    // npm's gives an event only the id of its own block; on reconnecting it sends the last one.
    keepsId: name !== "npm eventsource",
    follow: (args) => follow(args, EventSource),
});

/// The EventSource of Chromium, in a tab of the origin that it streams from.
const inTab = (context) => ({
    name: "chromium",
    async follow(args) {
        const tab = await context.newPage();
        await tab.goto(new URL("/page", args.url).href);
        const got = await tab.evaluate(`(${follow})(${JSON.stringify(args)})`);
        await tab.close();
        return got;
    },
});

/// The checks that Python runs, each with its result.
async function pythons(driver, base) {
    const child = spawn(`${process.env.PYTHON_HOME}/bin/python`, [`${import.meta.dirname}/clients.py`, base], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    child.stderr.on("data", (chunk) => (said += chunk));
    const closed = new Promise((resolve) => child.on("error", (error) => (said += error.message)).on("close", resolve));
    const told = {};
    for await (const line of createInterface({ input: child.stdout })) {
        const { client, check, error } = JSON.parse(line);
        told[`${client}: ${check}`] = error;
    }
    await closed;
    for (const line of python) {
        const [client, names] = line.split(": ");
        for (const check of names.split(", ")) {
            const error = told[`${client}: ${check}`];
            results.push({ client, driver, check, seconds: 0, error: error === undefined ? `it did not run: ${said}` : error });
        }
    }
}

/// All clients, by themselves and all at once.
async function visit(driver, program, context, { friend, stranger }) {
    const server = await serve(program, `cors=http://127.0.0.1:${friend}`);
    const withCredentials = await serve(program, `credentials=http://127.0.0.1:${friend}`);
    const { base } = server;
    const classes = {
        node: () => globalThis.EventSource,
        "npm eventsource": () => require("eventsource").EventSource,
    };
    try {
        await Promise.all([
            all("chromium", driver, checks, { base, es: inTab(context) }),
            record("chromium", driver, "CORS", () => cors({
                context, base, withCredentials: withCredentials.base, friend: `http://127.0.0.1:${friend}`,
                stranger: [`http://localhost:${friend}`, `http://127.0.0.1:${stranger}`],
            })),
            ...Object.entries(classes).map(([client, get]) => all(client, driver, checks, { base, es: here(client, get()) })),
            all("fetch + eventsource-parser", driver, fetches, { base }),
            all("curl", driver, curls, { base }),
            pythons(driver, base),
        ]);
    } finally {
        server.stop();
        withCredentials.stop();
    }
}

function table() {
    const clients = [...new Set(results.map(({ client }) => client))];
    const row = (cells) => console.log(`| ${cells.map((cell, at) => cell.padEnd(at === 0 ? 26 : 9)).join(" | ")} |`);
    row(["client", ...Object.keys(drivers)]);
    row(["---", ...Object.keys(drivers).map(() => "---")]);
    for (const client of clients) {
        row([client, ...Object.keys(drivers).map((driver) => {
            const of = results.filter((result) => result.client === client && result.driver === driver);
            return `${of.filter(({ error }) => error === null).length} of ${of.length}`;
        })]);
    }
}

const pages = { friend: await pageServer(), stranger: await pageServer() };
await withChromium({}, async (context) => {
    await Promise.all(Object.entries(drivers).map(([driver, program]) => visit(driver, program, context, pages)));
});
const failed = results.filter(({ error }) => error !== null);
for (const { client, driver, check, error } of failed) console.error(`clients: FAILED: ${client}, ${driver}, ${check}: ${error}`);
table();
const names = [...new Set(results.map(({ check }) => check))];
const slowest = results.reduce((one, other) => (one.seconds > other.seconds ? one : other));
console.log(`clients: ${results.length - failed.length} of ${results.length} checks passed in ${(performance.now() / 1000).toFixed(1)} s: ${names.join(", ")}`);
console.log(`clients: the slowest, ${slowest.seconds.toFixed(1)} s: ${slowest.client} on ${slowest.driver}, ${slowest.check}`);
process.exit(failed.length ? 1 : 0);
