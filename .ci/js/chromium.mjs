// Starts Debian's Chromium, with a profile that is thrown away. NODE_HOME says where playwright-core is.
import { createRequire } from "node:module";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";

const { chromium } = createRequire(join(process.env.NODE_HOME, "x.js"))("playwright-core");
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"];

/// Hands a browser context to `use`, and closes it.
export async function withChromium(options, use) {
    const profile = mkdtempSync(join(tmpdir(), "chromium-"));
    const context = await chromium.launchPersistentContext(profile, {
        executablePath: "/usr/bin/chromium", headless: true, ...options, args: [...flags, ...(options.args ?? [])],
    });
    try {
        return await use(context);
    } finally {
        await context.close();
        rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    }
}
