// Uses the dashboard as people do: on a desktop and on a phone, by pointer and by keys, light and
// dark. Arguments: the folder of the tools, the address, a user, the password.
// LIFEBOAT_PICTURES=FOLDER keeps what was seen there.
// Ends with 1 and says what was seen when something is not as promised.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [folder, address, user, password] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const pictures = process.env.LIFEBOAT_PICTURES;
const picture = async (page, name) => {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
};
const faults = [];
const promise = (holds, what) => { if (!holds) faults.push(what); };
const SIZES = {
  desktop: { viewport: { width: 1440, height: 900 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
};
const PAGES = ["/", "/machines", "/machines/web01", "/machines/web01/restore",
  "/machines/web01/browse", "/runs",
  "/repositories", "/repositories/main", "/schedule?job=web&machine=web01&days=30&daily=3", "/alerts", "/audit",
  "/settings", "/help", "/search?q=web"];

const listen = (page, name) => {
  page.on("console", (message) => {
    if (message.type() === "error" || /Content Security Policy/.test(message.text())) {
      faults.push(`${name}: console: ${message.text()} (${page.url()})`);
    }
  });
  page.on("pageerror", (error) => faults.push(`${name}: script: ${error} (${page.url()})`));
  page.on("request", (request) => {
    const isOurs = request.url().startsWith(address) || request.url().startsWith("data:");
    promise(isOurs, `${name}: asks elsewhere: ${request.url()}`);
  });
};

const signIn = async (page) => {
  await page.goto(`${address}/`);
  promise(page.url().endsWith("/login"), `strangers are sent to the sign-in: ${page.url()}`);
  await page.getByLabel("User").fill(user);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForSelector("#hero");
};

// Serious findings of the checker for accessibility.
const check = async (page, name) => {
  const found = await page.evaluate(async () => {
    const result = await window.axe.run(document, { resultTypes: ["violations"] });
    return result.violations
      .filter((it) => ["serious", "critical"].includes(it.impact))
      .map((it) => `${it.id}: ${it.nodes.slice(0, 3).map((node) => node.html).join(" ")}`);
  });
  for (const text of found) faults.push(`${name}: ${text}`);
};

const look = async (page, name, path) => {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  promise(wide <= 0, `${name}: ${path} scrolls sideways by ${wide}`);
  promise(await page.locator("h1").count() === 1, `${name}: ${path} has one title`);
  await check(page, `${name}: ${path}`);
  await picture(page, `${name}${path.replace(/[/?=&]+/g, "-")}`);
};

const tour = async (page, name, pages) => {
  for (const path of pages) {
    const answer = await page.goto(address + path);
    promise(answer.status() === 200, `${name}: ${path} answers ${answer.status()}`);
    await look(page, name, path);
  }
};

// A backup is begun with a button, and seen to run and to end without loading the page anew.
const backup = async (page) => {
  await page.goto(`${address}/machines`);
  await page.getByRole("link", { name: "web01", exact: true }).click();
  await page.getByRole("button", { name: "Back up now" }).click();
  await page.waitForURL(/\/runs\/\d+$/);
  await page.evaluate(() => { window.isTheSame = true; });
  await page.waitForSelector(".meter.running", { timeout: 15_000 });
  await page.waitForSelector("text=/\\d+ % *transfer/", { timeout: 15_000 });
  await picture(page, "desktop-run-running");
  promise(await page.locator("[data-copy^='lifeboat runs cancel ']").count() > 0,
    "what its buttons do, a command does");
  await page.waitForSelector("text=read and stored", { timeout: 15_000 });
  await page.waitForSelector("#summary .badge.ok", { timeout: 15_000 });
  promise(await page.evaluate(() => window.isTheSame === true), "the run was seen live");
  await look(page, "desktop", "/run");
};

// The disks of a point are opened while the page stands; a file comes out under a harmless name.
const browse = async (page) => {
  await page.goto(`${address}/machines/web01`);
  await page.getByRole("link", { name: "Browse", exact: true }).first().click();
  await page.getByRole("link", { name: "System", exact: true }).click();
  await page.getByRole("link", { name: "etc", exact: true }).click();
  await page.getByText("<script>alert(1)</script>\\u{202e}gpj").first().waitFor();
  await picture(page, "desktop-folder");
  const coming = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download hosts" }).click();
  promise((await coming).suggestedFilename() === "hosts", "the file keeps its name");
  await page.getByRole("link", { name: "Volumes" }).click();
  await page.waitForSelector("text=holds no files");
};

const acknowledge = async (page) => {
  await page.goto(`${address}/alerts`);
  await page.getByRole("button", { name: "Acknowledge" }).first().waitFor();
  const before = await page.getByRole("button", { name: "Acknowledge" }).count();
  promise(before > 0, "an alert is open");
  await page.getByRole("button", { name: "Acknowledge" }).first().click();
  await page.waitForFunction((before) =>
    document.querySelectorAll("form[data-deed]").length < before, before);
};

const keys = async (page) => {
  await page.goto(`${address}/`);
  await page.keyboard.press("Tab");
  const skip = await page.evaluate(() => document.activeElement.className);
  promise(skip === "skip", `the first stop of Tab skips to the page, not "${skip}"`);
  await page.keyboard.press("g");
  await page.keyboard.press("m");
  await page.waitForURL(/\/machines$/);
  await page.keyboard.press("/");
  await page.keyboard.type("web0");
  await page.waitForSelector("#found a.chosen");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/machines\/web01$/);
  await page.keyboard.press("?");
  await page.waitForURL(/\/help$/);
};

const dangers = async (page) => {
  await page.goto(`${address}/repositories/main`);
  await page.getByRole("button", { name: "Prune" }).click();
  const yes = page.locator("dialog button.danger");
  promise(await yes.isDisabled(), "a prune wants the name first");
  await page.locator("dialog input").fill("main");
  promise(!await yes.isDisabled(), "the name is enough");
  await page.keyboard.press("Escape");
  promise(await page.locator("dialog").count() === 0, "Escape closes the question");
};

const theme = async (page) => {
  await page.goto(`${address}/`);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await ground();
  await page.getByRole("button", { name: "Light or dark" }).click();
  const after = await ground();
  promise(before !== after, "the switch changes the theme");
  await page.reload();
  promise(await ground() === after, "the choice is kept");
};

const withoutScript = async (browser, state) => {
  const context = await browser.newContext({ ...SIZES.desktop, javaScriptEnabled: false,
    ignoreHTTPSErrors: true, storageState: state });
  const page = await context.newPage();
  await page.goto(`${address}/machines/web01`);
  promise(await page.getByText("lifeboat run web -m web01").count() > 0,
    "without a script the command stands there");
  promise(!await page.getByRole("button", { name: "Back up now" }).isVisible(),
    "and no button that would do nothing");
  await context.close();
};

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox",
  "--disable-gpu", "--disable-background-networking", "--disable-component-update",
  "--disable-sync"] });
try {
  for (const [name, size] of Object.entries(SIZES)) {
    const colorScheme = name === "phone" ? "dark" : "light";
    const context = await browser.newContext({ ...size, colorScheme, ignoreHTTPSErrors: true });
    await context.addInitScript(axe);
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    listen(page, name);
    await signIn(page);
    await tour(page, name, name === "desktop" ? PAGES : PAGES.slice(0, 10));
    if (name === "desktop") {
      await backup(page);
      await browse(page);
      await acknowledge(page);
      await keys(page);
      await dangers(page);
      await theme(page);
      await withoutScript(browser, await context.storageState());
    } else {
      await page.goto(`${address}/runs`);
      await page.locator("tbody a").first().click();
      await page.waitForURL(/\/runs\/\d+$/);
      await look(page, name, "/run");
      await page.goto(`${address}/`);
      await page.locator(".bottom summary").click();
      await page.locator(".sheet").getByRole("link", { name: "Schedule" }).click();
      await page.waitForURL(/\/schedule$/);
    }
    await context.close();
  }
} catch (error) {
  faults.push(String(error));
}
await browser.close();
for (const fault of faults) console.log(fault);
process.exit(faults.length === 0 ? 0 : 1);
