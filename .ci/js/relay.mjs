// A TCP relay between a client and a server: it sees what goes over the wire, and cuts where it is told to.
import { createServer, connect } from "node:net";

/// How long anything may take; only a failure waits so long.
export const PATIENCE = 40_000;
const PAGE = "<!doctype html><title>page</title><link rel=icon href=data:,>";
export const page = `HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: ${PAGE.length}\r\n\r\n${PAGE}`;

export class Relay {
    streams = []; // of the path that is looked at: { head, body, at, ended }
    cutAt = null; // text after which the next stream is reset
    #path; #server; #waiting = new Set(); #held = null; #free = () => {};

    /// Listens, and relays to the server at this URL; keeps what is asked of this path.
    static async to(base, path) {
        const relay = new Relay();
        relay.#path = path;
        const port = Number(new URL(base).port);
        relay.#server = createServer((client) => relay.#serve(client, port)).listen(0, "127.0.0.1");
        await new Promise((resolve, reject) => relay.#server.once("listening", resolve).once("error", reject));
        relay.url = `http://127.0.0.1:${relay.#server.address().port}`;
        return relay;
    }

    /// Until this holds of what has gone by.
    until(what, holds) {
        return new Promise((resolve, reject) => {
            const look = () => holds(this) && (this.#waiting.delete(look), clearTimeout(timer), resolve());
            const timer = setTimeout(() => {
                this.#waiting.delete(look);
                reject(new Error(`waited in vain for ${what}; streams: ${JSON.stringify(this.streams).slice(0, 2000)}`));
            }, PATIENCE);
            this.#waiting.add(look);
            look();
        });
    }

    /// Lets nobody through any more, until it is told to.
    hold() {
        this.#held = new Promise((resolve) => (this.#free = resolve));
    }

    letGo() {
        this.#free();
        this.#held = null;
    }

    close() {
        this.letGo();
        this.#server.close();
    }

    #serve(client, port) {
        let asked = "";
        const first = (bytes) => {
            asked += bytes.toString("latin1");
            if (!asked.includes("\r\n\r\n")) return;
            client.off("data", first);
            if (asked.startsWith("GET /page ")) return client.end(page);
            this.#relay(client, asked, port);
        };
        client.on("data", first).on("error", () => {});
    }

    async #relay(client, asked, port) {
        const stream = { asked, body: "", at: performance.now(), ended: null };
        const isOurs = asked.split(" ")[1] === this.#path;
        if (isOurs) this.streams.push(stream);
        await this.#held;
        const server = connect(port, "127.0.0.1", () => server.write(Buffer.from(asked, "latin1")));
        const end = (how) => {
            stream.ended ??= { how, at: performance.now() };
            this.#look();
        };
        client.on("data", (bytes) => server.write(bytes)).on("end", () => server.destroy()).on("error", () => server.destroy());
        server.on("error", () => (end("reset"), client.resetAndDestroy()));
        server.on("end", () => (end("end"), client.end()));
        server.on("data", (bytes) => {
            const seen = stream.body.length;
            stream.body += bytes.toString("latin1");
            const at = isOurs && this.cutAt !== null ? stream.body.indexOf(this.cutAt) : -1;
            if (at < 0) {
                client.write(bytes);
            } else if (stream.ended === null) {
                const kept = at + this.cutAt.length;
                this.cutAt = null;
                stream.body = stream.body.slice(0, kept);
                client.write(bytes.subarray(0, Math.max(kept - seen, 0)), () => client.resetAndDestroy());
                server.destroy();
                end("cut");
            }
            this.#look();
        });
    }

    #look() {
        for (const look of [...this.#waiting]) look();
    }
}
