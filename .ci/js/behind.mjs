// Ten streams of one page in Chromium, through a proxy; tells what becomes of them. Called by .ci/proxies.
// Usage: node behind.mjs HOST PORT; ends with its standard input.
import { withChromium } from "./chromium.mjs";

const [host, port] = process.argv.slice(2);
const options = { ignoreHTTPSErrors: true, args: [`--host-resolver-rules=MAP ${host} 127.0.0.1`] };

await withChromium(options, async (context) => {
    const page = context.pages()[0];
    page.on("console", (message) => message.type() === "log" && console.log(message.text()));
    // Any page of this origin will do.
    await page.goto(`https://${host}:${port}/stats`);
    await page.evaluate(() => {
        for (let number = 0; number < 10; number += 1) {
            const source = new EventSource(`/news?${number}`);
            source.onopen = () => console.log("open");
            source.onmessage = (event) => console.log(`message ${event.data}`);
            source.onerror = () => console.log(source.readyState === 2 ? "gave up" : "error");
        }
    });
    process.stdin.resume();
    await new Promise((resolve) => process.stdin.on("close", resolve));
});
