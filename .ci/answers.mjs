// Asks on the page of llm-tokens in Debian's Chromium: an answer is shown whole and is not asked for again; another is stopped.
// Called by .ci/smoke. Usage: node answers.mjs URL; NODE_HOME says where playwright-core is. Any defect: exit code 1.
import { createRequire } from "node:module";
import { join } from "node:path";

const { chromium } = createRequire(join(process.env.NODE_HOME, "x.js"))("playwright-core");
const [url] = process.argv.slice(2);
const RETRY = 4000; // ms: the longest that a stream tells a browser to wait before it comes back
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] });
const defects = [];
try {
    const page = await browser.newPage();
    page.on("console", (message) => message.type() === "error" && defects.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => defects.push(`exception: ${error.message}`));
    const asked = [];
    page.on("request", (request) => request.url().includes("/answers/") && asked.push(request.url()));
    const state = (text) => page.waitForFunction((text) => document.getElementById("state").textContent === text, text, { timeout: 15000 });
    await page.goto(url, { waitUntil: "load" });
    await page.click("text=Ask");
    await state("complete");
    const answer = await page.textContent("#answer");
    const target = new URL(asked[0]);
    // Another id with the same prompt gets the same answer.
    const again = await (await fetch(`${target.origin}/answers/again${target.search}`)).text();
    const tokens = [...again.split("event: sse-end")[0].matchAll(/^data: (.*)$/gm)].map((match) => match[1]);
    if (answer !== tokens.join("")) defects.push(`shown: ${answer}; generated: ${tokens.join("")}`);
    await page.waitForTimeout(RETRY + 1000);
    if (asked.length !== 1) defects.push(`a complete answer was asked for again: ${asked}`);
    await page.click("text=Ask");
    await page.waitForFunction(() => document.getElementById("answer").textContent !== "", null, { timeout: 15000 });
    await page.click("text=Stop");
    await state("stopped");
    // Before the browser closes, which would stop it, too.
    const end = Date.now() + 15000;
    while ((await (await fetch(`${target.origin}/stats`)).json()).sources !== 0) {
        if (Date.now() > end) throw new Error("the generation goes on");
    }
} catch (error) {
    defects.push(error.message);
} finally {
    await browser.close();
}
for (const defect of defects) console.error(`answers: ${defect}`);
process.exit(defects.length ? 1 : 0);
