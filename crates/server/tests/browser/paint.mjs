// Looks at pages of a machine with ten thousand points: what is drawn stays small, the oldest point
// is reached, and how soon the first content is painted is told, in milliseconds.
// Arguments: the folder of the tools, the address, a user, the password, how often.
import { createRequire } from "node:module";

const [folder, address, user, password, times] = process.argv.slice(2);
const { chromium } = createRequire(`${folder}/`)("playwright-core");
const PAGES = { overview: "/", machines: "/machines", machine: "/machines/web01",
  schedule: "/schedule?job=web&machine=web01&days=90&daily=7" };

const faults = [];
const promise = (holds, what) => { if (!holds) faults.push(what); };
const painted = () => {
  const paints = performance.getEntriesByType("paint");
  return paints.find((it) => it.name === "first-contentful-paint")?.startTime ?? null;
};

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox",
  "--disable-gpu", "--disable-background-networking", "--disable-component-update",
  "--disable-sync"] });
try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 },
    ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(`${address}/login`);
  await page.getByLabel("User").fill(user);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForSelector("#hero");
  for (const [name, path] of Object.entries(PAGES)) {
    const [found, answered] = [[], []];
    for (let time = 0; time < Number(times); time += 1) {
      await page.goto(address + path, { waitUntil: "load" });
      await page.waitForFunction(painted);
      found.push(await page.evaluate(painted));
      answered.push(await page.evaluate(() =>
        performance.getEntriesByType("navigation")[0].responseStart));
    }
    const parts = await page.evaluate(() => document.querySelectorAll("*").length);
    promise(parts < 6_000, `${name} has ${parts} elements`);
    found.sort((a, b) => a - b);
    answered.sort((a, b) => a - b);
    const first = answered[answered.length >> 1].toFixed(0);
    const [least, median, most] = [found[0], found[found.length >> 1], found.at(-1)];
    console.log(`${name}: ${[median, least, most].map((it) => it.toFixed(0)).join(" ")} ms, answered after ${first} ms`);
  }
  await page.goto(`${address}/machines/web01?page=499`);
  const rows = await page.locator("#points tbody tr").count();
  promise(rows === 20, `the last page of points has ${rows} rows`);
  promise(await page.getByText("of 10").count() > 0, "it says how many there are");
  await page.goto(`${address}/machines/web01?until=2000-01-01`);
  promise(await page.getByText("no point of that day").isVisible(), "a day too early says so");
} catch (error) {
  faults.push(String(error));
}
await browser.close();
if (faults.length > 0) console.log(faults.join("\n"));
process.exit(faults.length === 0 ? 0 : 1);
