// Drives a browser over the page of `shmbus http`: a bus under load, the login
// link, numbers that move, a topic, its messages, publishing, the keyboard.
// Whatever the page complains of, or loads from elsewhere, fails the test.
//
//   node test.mjs SHMBUS [SCREENSHOTS]
//
// With a directory for screenshots it waits for a minute of history first.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [program, screenshots] = process.argv.slice(2);
assert(program && existsSync(program), "usage: node test.mjs SHMBUS [SCREENSHOTS]");
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
const limit = 20_000; // for whatever should happen at once

const dir = mkdtempSync(join(tmpdir(), "shmbus-browser-"));
const env = { ...process.env, SHMBUS_DIR: join(dir, "run"), SHMBUS: program };
const groups = [];

// start runs a shell command in a process group of its own, which ends with us.
function start(command) {
  const child = spawn("bash", ["-c", command], { env, detached: true, stdio: ["ignore", "ignore", "pipe"] });
  groups.push(child.pid);
  child.text = "";
  child.stderr.on("data", d => child.text += d);
  return child;
}

function stop() {
  for (const g of groups) try { process.kill(-g, "SIGKILL"); } catch { /* it has ended */ }
  rmSync(dir, { recursive: true, force: true });
}

async function until(what, condition) {
  for (const end = Date.now() + limit; Date.now() < end;) {
    const v = await condition();
    if (v) return v;
    await new Promise(done => setTimeout(done, 50));
  }
  assert.fail(`${what}: not after ${limit / 1000} s`);
}

async function step(name, body) {
  const began = Date.now();
  await body();
  console.log(`ok   ${name} (${Date.now() - began} ms)`);
}

const load = [
  `$SHMBUS sub orders --name audit --no-host > /dev/null`,
  `$SHMBUS sub orders --name view --lossy --no-host > /dev/null`,
  `seq -f '{"order":%.0f,"side":"buy","symbol":"ACME"}' 1 99999999 | $SHMBUS pub orders --name desk --rate 40/s --no-host`,
  `$SHMBUS sub prices.eu --name model --no-host > /dev/null`,
  `yes 'bid 101.25 ask 101.50' | $SHMBUS pub prices.eu --name feed --rate 3000/s --no-host`,
  `$SHMBUS sub prices.us --name model --no-host > /dev/null`,
  `yes 'bid 98.75 ask 99.00' | $SHMBUS pub prices.us --name feed --rate 1200/s --no-host`,
  `$SHMBUS sub logs --name slow --no-host | while read -r line; do sleep 0.01; done`,
  `yes "$(printf 'a long line of a log %4000s')" | $SHMBUS pub logs --name service --capacity 64KiB --no-host`,
];

async function run() {
  start(`$SHMBUS serve`);
  const link = await until("login link", async () => {
    const bridge = start(`$SHMBUS http --allow-publish --listen 127.0.0.1:0`);
    await Promise.race([
      new Promise(ended => bridge.on("exit", ended)), // before there was a bus
      until("a line of the bridge", () => bridge.text.includes("\n")),
    ]);
    return /http:\S+/.exec(bridge.text)?.[0];
  });
  for (const command of load) start(command);
  const origin = new URL(link).origin;

  await step("without the link nothing is shown", async () => {
    assert.equal((await fetch(origin + "/v1/snapshots")).status, 401);
  });

  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] }); // root in a container has none
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", m => { if (["error", "warning"].includes(m.type())) complaints.push("console: " + m.text()); });
  page.on("pageerror", e => complaints.push("error: " + e));
  page.on("requestfailed", r => { if (r.failure().errorText !== "net::ERR_ABORTED") complaints.push(`failed: ${r.url()} ${r.failure().errorText}`); });
  page.on("request", r => { if (new URL(r.url()).origin !== origin && !r.url().startsWith("data:")) complaints.push("asked elsewhere: " + r.url()); });
  page.setDefaultTimeout(limit);

  const text = selector => page.textContent(selector);
  const focused = selector => page.evaluate(s => document.activeElement?.matches(s), selector);
  const row = topic => page.locator(`#table tbody tr[data-key="${topic}"]`);
  const topics = () => page.locator("#table tbody tr").evaluateAll(rows => rows.map(r => r.dataset.key).sort());

  const live = p => p.waitForFunction(() => document.querySelector("#state").textContent === "live");
  await step("a tab without the link asks for it", async () => {
    await page.goto(origin + "/");
    await page.fill("#token", "http://nonsense");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#login-state").textContent);
    await page.fill("#token", link);
    await page.keyboard.press("Enter");
    await live(page);
    assert(await page.isHidden("#login"));
    await page.evaluate(() => sessionStorage.clear());
  });
  await step("the link logs in", async () => {
    const token = new URL(link).hash.slice("#token=".length);
    assert.equal(token.length, 43);
    const told = [];
    page.on("request", r => { if (r.url().includes(token)) told.push(r.url()); });
    await page.goto("about:blank");
    await page.goto(link);
    assert.equal(page.url(), origin + "/", "the token stays out of the address");
    await live(page);
    assert.deepEqual(told, [], "the token is in no address that was asked for");
    await page.reload();
    await live(page);
  });
  await step("another port gets no token", async () => {
    const heads = [];
    const other = createServer((q, a) => { heads.push(q.headers); a.end("<title>other</title>"); }).listen(0, "127.0.0.1");
    await once(other, "listening");
    const tab = await context.newPage();
    await tab.goto(`http://127.0.0.1:${other.address().port}/`);
    assert.equal(await tab.evaluate(() => sessionStorage.length), 0);
    await tab.close();
    other.close();
    assert(heads.length > 0 && heads.every(h => !h.cookie && !h.authorization));
  });
  await step("numbers move", async () => {
    await page.waitForFunction(() => document.querySelectorAll("#table tbody tr").length === 4 && document.querySelector("#published").textContent.endsWith("k"));
    const was = await text("#published") + await text("#delivered") + await text("#p99");
    await until("another number", async () => await text("#published") + await text("#delivered") + await text("#p99") !== was);
    assert.match(await text("#p99"), /^[\d.]+ (ns|µs|ms|s)$/);
  });
  await step("charts are drawn", async () => {
    await page.waitForFunction(() => ["#rates canvas", "#percentiles canvas", "#heatmap"].every(id => {
      const c = document.querySelector(id), left = 70 * devicePixelRatio; // right of the axis
      const drawn = c.getContext("2d").getImageData(left, 0, c.width - left, c.height).data.filter((v, i) => i % 4 === 3 && v > 100);
      return drawn.length > 50;
    }));
  });
  await step("who holds publishers up is named", async () => {
    await page.waitForFunction(() => document.querySelector('#table tr[data-key="logs"] td:last-child').textContent === "slow");
  });
  await step("columns sort", async () => {
    await page.click('th[data-key="topic"] button');
    assert.deepEqual(await page.locator("#table tbody tr").evaluateAll(rows => rows.map(r => r.dataset.key)), ["logs", "orders", "prices.eu", "prices.us"]);
    assert.equal(await page.getAttribute('th[data-key="topic"]', "aria-sort"), "ascending");
  });
  await step("the filter filters", async () => {
    await page.fill("#filter", "prices");
    assert.deepEqual(await topics(), ["prices.eu", "prices.us"]);
    await page.fill("#filter", "nobody");
    assert(await page.isVisible("#none"));
    await page.fill("#filter", "");
    assert.equal((await topics()).length, 4);
  });
  await step("a topic opens", async () => {
    await row("orders").getByRole("button").click();
    assert.equal(await text("#details-title"), "Topic orders");
    await page.waitForFunction(() => document.querySelectorAll("#subscribers tbody tr").length === 2);
    assert.match(await text("#publishers tbody"), /desk/);
    for (const name of [/audit/, /view/]) assert.match(await text("#subscribers tbody"), name);
  });
  const messages = page.locator("#messages li");
  await step("its messages come", async () => {
    await page.click("#tail");
    await messages.filter({ hasText: '"symbol":"ACME"' }).nth(5).waitFor();
    const n = await messages.count();
    await until("more of them", async () => await messages.count() > n);
  });
  await step("messages are filtered", async () => {
    await page.fill("#grep", "mine");
    await page.evaluate(() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))); // what came before is shown
    const n = await messages.count();
    await page.fill("#payload", "this is <b>mine</b> <img src=x onerror=alert(1)>");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#publish-state").textContent === "published");
    await messages.filter({ hasText: "this is <b>mine</b> <img" }).waitFor(); // as text
    assert.equal(await messages.count(), n + 1, "others come through the filter");
    assert.equal(await page.locator("#messages b, #messages img").count(), 0);
  });
  await step("another topic", async () => {
    await row("prices.eu").getByRole("button").click();
    await page.fill("#grep", "");
    await page.click("#tail");
    await messages.filter({ hasText: "bid 101.25" }).nth(5).waitFor();
  });
  await step("keys", async () => {
    await page.keyboard.press("Escape");
    assert(await page.isHidden("#details"));
    assert(await focused('tr[data-key="prices.eu"] button'), "the focus returns to the topic");
    await page.keyboard.press("/");
    assert(await focused("#filter"));
    await page.keyboard.type("orders");
    assert.deepEqual(await topics(), ["orders"]);
    for (let i = 0; i < 20 && !await focused("#table tbody button"); i++) await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    assert.equal(await text("#details-title"), "Topic orders");
    for (let i = 0; i < 20 && !await focused("#tail"); i++) await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    await messages.first().waitFor();
    await page.keyboard.press("Escape");
    assert(await page.isHidden("#details"));
    await page.keyboard.press("/");
    await page.keyboard.press("Escape");
    assert.equal(await page.inputValue("#filter"), "");
    assert.equal((await topics()).length, 4);
  });
  await step("a tab that nobody sees holds no connection, and goes on where it was", async () => {
    // Six connections to a host are all that a browser opens.
    const show = (tab, visibility) => tab.evaluate(v => {
      Object.defineProperty(document, "visibilityState", { value: v, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, visibility);
    await row("orders").getByRole("button").click();
    await page.click("#tail");
    await messages.nth(5).waitFor();
    await show(page, "hidden");
    const tabs = [];
    for (let i = 0; i < 7; i++) {
      const tab = await context.newPage();
      tab.setDefaultTimeout(limit);
      tabs.push(tab);
      await tab.goto(link);
      await live(tab);
      await show(tab, "hidden");
    }
    for (const tab of tabs) await tab.close();
    await page.evaluate(() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))); // what came before is shown
    const last = Number(/"order":(\d+)/.exec(await messages.last().textContent())[1]);
    await page.fill("#grep", `"order":${last + 1},`);
    await show(page, "visible");
    await messages.filter({ hasText: `"order":${last + 1},` }).waitFor();
    await page.fill("#grep", "");
    await page.keyboard.press("Escape");
  });
  await step("pause", async () => {
    await page.click("#pause");
    const was = await text("#table tbody");
    const points = await page.evaluate(() => state.times.length);
    await page.waitForFunction(n => state.times.length >= n + 2, points); // snapshots go on
    assert.equal(await text("#table tbody"), was);
    await page.click("#pause");
  });
  await step("light, dark and phone", async () => {
    if (screenshots) await page.waitForFunction(() => state.times.length > 60, undefined, { timeout: 90_000 });
    await looks(page, row);
  });
  await browser.close();
  assert.deepEqual(complaints, []);
  console.log("ok   nothing to complain of");
}

// looks takes the screenshots. Nothing may be wider than the screen.
async function looks(page, row) {
  const to = screenshots || join(dir, "screenshots");
  mkdirSync(to, { recursive: true });
  const shot = async name => {
    assert(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), name + " is wider than the screen");
    await page.screenshot({ path: join(to, name + ".png") });
  };
  await page.click('th[data-key="published_per_s"] button');
  await page.evaluate(() => scrollTo(0, 0));
  await shot("light");
  await page.emulateMedia({ colorScheme: "dark" });
  await row("orders").getByRole("button").click();
  await page.click("#tail");
  await page.locator("#messages li").nth(20).waitFor();
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await shot("dark");
  await page.keyboard.press("Escape");
  await page.setViewportSize({ width: 390, height: 844 });
  await page.evaluate(() => scrollTo(0, 0));
  await page.waitForFunction(() => document.querySelector("#rates canvas").clientWidth < 390);
  await shot("phone");
}

const watchdog = setTimeout(() => { console.error("FAIL the test hangs"); stop(); process.exit(1); }, 240_000);
try {
  await run();
} catch (e) {
  console.error("FAIL", e);
  process.exitCode = 1;
} finally {
  clearTimeout(watchdog);
  stop();
}
process.exit();
