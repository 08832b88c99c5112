// Loads the quickstart's page in Debian's Chromium and watches it as a person would. Called by .ci/smoke.
// Usage: node page.mjs URL [FOLDER for screenshots]; NODE_HOME says where playwright-core is. Any defect: exit code 1.
import { join } from "node:path";
import { withChromium } from "./js/chromium.mjs";

const [url, shots] = process.argv.slice(2);
const views = [
    { name: "desktop-light", viewport: { width: 1280, height: 900 }, colorScheme: "light", cuts: true },
    { name: "desktop-dark", viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
    { name: "phone-light", viewport: { width: 390, height: 844 }, colorScheme: "light" },
    { name: "phone-dark", viewport: { width: 390, height: 844 }, colorScheme: "dark" },
];

async function watch(view, context) {
    const defects = [];
    try {
        const page = context.pages()[0];
        page.on("console", (message) => message.type() === "error" && defects.push(`console: ${message.text()}`));
        page.on("pageerror", (error) => defects.push(`exception: ${error.message}`));
        page.on("requestfailed", (request) => defects.push(`failed: ${request.url()} ${request.failure().errorText}`));
        page.on("request", (request) => {
            const { origin, protocol } = new URL(request.url());
            if (protocol !== "data:" && origin !== new URL(url).origin) defects.push(`foreign request: ${request.url()}`);
        });
        let events = 0; // of all streams that the page opens, named or not
        const devtools = await context.newCDPSession(page);
        await devtools.send("Network.enable");
        devtools.on("Network.eventSourceMessageReceived", () => (events += 1));
        const answer = await page.goto(url, { waitUntil: "load" });
        if (!answer.ok()) throw new Error(`the page answers ${answer.status()}`);
        const policy = (await answer.headerValue("content-security-policy")) ?? "";
        if (!/default-src '(self|none)'/.test(policy) || /unsafe/.test(policy)) defects.push(`CSP: "${policy}"`);

        // Live figures: numbers are shown, and they go on changing while events come in.
        const shown = () => page.evaluate(() => document.body.innerText);
        const until = async (what, holds) => {
            const end = Date.now() + 15000;
            while (!(await holds())) {
                if (Date.now() > end) throw new Error(`waited in vain for ${what}; shown: ${await shown()}`);
                await page.evaluate(() => new Promise(requestAnimationFrame));
            }
        };
        await until("a first event", () => events > 0);
        const seen = new Set();
        await until("figures that change with the events", async () => {
            seen.add((await shown()).replace(/[^\d.]+/g, " ").trim());
            return seen.size > 2 && events > 2;
        });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        if (over > 0) defects.push(`the page is ${over} px wider than the window`);
        page.removeAllListeners("requestfailed"); // cutting and leaving abort the streams
        if (view.cuts) {
            // A cut, more notes than the server keeps, and back: the rest and a gap notice.
            const text = (selector) => page.textContent(selector);
            await page.click("#lane-notes button");
            await until("a cut stream", async () => (await text("#lane-notes .is")) === "cut");
            await page.click("#burst");
            await until("posted notes", async () => (await text("#said")).startsWith("Posted 40"));
            await page.click("#lane-notes button");
            await until("a gap notice", () => page.isVisible("#log .gap"));
            await until("the newest note", async () => (await text("#log .note .what")) === "note 40 of 40");
            await until("an open stream", async () => (await text("#lane-notes .is")) === "open");
        }
        if (shots) await page.screenshot({ path: join(shots, `${view.name}.png`), fullPage: true });
    } catch (error) {
        defects.push(error.message);
    }
    return defects.map((defect) => `page, ${view.name}: ${defect}`);
}

const defects = (await Promise.all(views.map((view) => withChromium(view, (context) => watch(view, context))))).flat();
for (const defect of defects) console.error(defect);
process.exit(defects.length ? 1 : 0);
