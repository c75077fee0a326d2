// A person shops: home, a product, the basket, search, checkout, another shopper, a phone. Then the page of the API.
//
//   node shop.mjs --url http://127.0.0.1:8080 --chromium /usr/bin/chromium --screenshots DIR
//
// Elements are found by `data-testid` only. Every step prints what it expects; the first that fails ends the run with
// exit code 1 and a picture of the page as it was.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: args } = parseArgs({
  options: {
    url: { type: 'string' },
    chromium: { type: 'string' },
    screenshots: { type: 'string' },
  },
});

const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };

/** Flags for a sandbox without a display, without a network, and with root as the only user. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
];

const profile = mkdtempSync(join(tmpdir(), 'waggle-browser-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: args.chromium,
  headless: true,
  args: FLAGS,
  viewport: DESKTOP,
});
browser.setDefaultTimeout(10_000);
const page = browser.pages()[0] ?? (await browser.newPage());

const troubles = [];
page.on('console', (message) => {
  if (message.type() === 'error') troubles.push(`console: ${message.text()}`);
});
page.on('pageerror', (error) => troubles.push(`script: ${error.message}`));
page.on('requestfailed', (request) => {
  // A page that is left aborts what it was still loading; that is the visitor's doing.
  const reason = request.failure()?.errorText ?? '';
  if (reason !== 'net::ERR_ABORTED') troubles.push(`request: ${request.method()} ${request.url()} ${reason}`);
});
page.on('response', (response) => {
  if (response.status() >= 400) troubles.push(`response: ${response.status()} ${response.url()}`);
});

const byId = (id) => page.getByTestId(id);

function expect(what, holds, got) {
  if (!holds) throw new Error(`expected ${what}, got ${JSON.stringify(got)}`);
}

async function step(sentence, action) {
  const started = Date.now();
  await action();
  expect(`no trouble while: ${sentence}`, troubles.length === 0, troubles);
  console.log(`     ${sentence} (${Date.now() - started} ms)`);
}

async function picture(name) {
  await page.screenshot({ animations: 'disabled', path: join(args.screenshots, `${name}.png`), fullPage: true });
}

/** Waits until `read()` satisfies `holds`; what it was at last is in the error. */
async function until(what, read, holds) {
  const deadline = Date.now() + 10_000;
  let got;
  do {
    got = await read();
    if (holds(got)) return got;
    await page.waitForTimeout(20);
  } while (Date.now() < deadline);
  throw new Error(`expected ${what}, got ${JSON.stringify(got)}`);
}

const basketCount = async () => Number((await byId('basket-count').first().innerText()).replace(/\D/g, '') || 0);

const productIds = () =>
  byId('product-card').evaluateAll((cards) => cards.map((card) => card.dataset.item));

async function noOverflow(where) {
  const [content, window] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  expect(`no horizontal overflow on ${where}`, content <= window, { content, window });
}

async function openPanel() {
  if (!(await byId('panel').first().isVisible())) await byId('panel-toggle').first().click();
  await byId('panel').first().waitFor({ state: 'visible' });
}

/** Kinds of the events that the panel shows, newest first. */
const profileEvents = () => byId('profile-event').evaluateAll((events) => events.map((e) => e.dataset.kind));

const rungs = async () => (await byId('rung').allInnerTexts()).map((text) => text.trim().toLowerCase());

async function shop() {
  await step('the home page shows rows of products', async () => {
    await page.goto(args.url, { waitUntil: 'networkidle' });
    const [nRows, nCards] = [await byId('row').count(), await byId('product-card').count()];
    expect('at least two rows with eight products in all', nRows >= 2 && nCards >= 8, { nRows, nCards });
    const title = await page.title();
    expect('a page title', title.length > 0, title);
    await noOverflow('the home page');
    await picture('01-home');
  });

  await step('a click on a product opens its page with two rows', async () => {
    await byId('product-card').first().locator('a').first().click();
    await byId('add-to-basket').first().waitFor();
    const nRows = await until('two rows', () => byId('row').count(), (n) => n >= 2);
    const nCards = await byId('product-card').count();
    expect('products in the rows', nRows >= 2 && nCards >= 4, { nRows, nCards });
    await page.waitForLoadState('networkidle');
    await noOverflow('the product page');
    await picture('02-product');
  });

  await step('adding to the basket counts one', async () => {
    const before = await basketCount();
    await byId('add-to-basket').first().click();
    await until('one more in the basket', basketCount, (n) => n === before + 1);
  });

  await step('the panel shows what just happened', async () => {
    await openPanel();
    await until('the basket among the events', profileEvents, (kinds) => kinds.includes('cart'));
    const here = await rungs();
    const known = ['personal', 'segment', 'trending', 'static'];
    expect('rungs of the ladder', here.length > 0 && here.every((rung) => known.includes(rung)), here);
    const snapshot = await byId('snapshot').first().innerText();
    expect('a snapshot version', snapshot.trim().length > 4, snapshot);
    await noOverflow('the product page with the panel');
    await picture('03-panel');
  });

  await step('the home page is personal now', async () => {
    await page.goto(args.url, { waitUntil: 'networkidle' });
    await openPanel();
    const here = await rungs();
    expect('a personal row', here.includes('personal'), here);
  });

  await step('search finds products by a word of a title', async () => {
    await page.goto(args.url, { waitUntil: 'networkidle' });
    const text = await byId('product-card').first().innerText();
    const word = text.match(/[A-Za-z]{4,}/)?.[0];
    expect('a word in a product card', Boolean(word), text);
    await byId('search-box').first().fill(word);
    await byId('search-box').first().press('Enter');
    await byId('search-result').first().waitFor();
    const found = await byId('search-result').allInnerTexts();
    const stem = word.slice(0, 4).toLowerCase();
    expect(`results with ${stem}…`, found.some((t) => t.toLowerCase().includes(stem)), found.slice(0, 5));
    const marks = await page.locator('[data-testid="search-result"] mark').count();
    expect('marked words', marks > 0, marks);
    await noOverflow('the search page');
    await picture('04-search');
  });

  await step('what was found is narrowed by a category and put in order of price', async () => {
    await byId('facet').first().click();
    await page.locator('[data-testid="facet"][aria-current]').waitFor();
    await byId('narrow').locator('select').selectOption('cheap');
    await byId('narrow').getByRole('button').click();
    await byId('search-result').first().waitFor();
    const prices = await page.locator('[data-testid="search-result"] .card__price').allInnerTexts();
    const amounts = prices.map((price) => Number(price.replace(/[^0-9.]/g, '')));
    expect('ascending prices', amounts.every((amount, n) => n === 0 || amounts[n - 1] <= amount), prices.slice(0, 8));
    await noOverflow('the narrowed search');
    await picture('04-search-narrowed');
  });

  await step('a search for nonsense finds nothing and says so', async () => {
    await byId('search-box').first().fill('qqzzxxyyvv');
    await byId('search-box').first().press('Enter');
    await page.waitForLoadState('networkidle');
    await until('no results', () => byId('search-result').count(), (n) => n === 0);
  });

  await step('checkout says thanks and empties the basket', async () => {
    await page.goto(new URL('/basket', args.url).href, { waitUntil: 'networkidle' });
    await noOverflow('the basket');
    await picture('05-basket');
    await page.locator('a[href="/checkout"]').first().click();
    await byId('checkout-button').first().click();
    await byId('thanks').first().waitFor();
    await until('an empty basket', basketCount, (n) => n === 0);
    await openPanel();
    await until('the purchase among the events', profileEvents, (kinds) => kinds.includes('purchase'));
    await picture('06-thanks');
  });

  await step('shopping as somebody else changes the page', async () => {
    await page.goto(args.url, { waitUntil: 'networkidle' });
    const before = await productIds();
    const menu = byId('shop-as').first();
    await menu.locator('summary').click();
    const others = menu.locator('button[name="user"]:not([value=""]):not([aria-current])');
    const name = (await others.first().innerText()).trim();
    await others.first().click();
    await page.waitForLoadState('networkidle');
    await until('other products', productIds, (ids) => ids.length > 0 && ids.join() !== before.join());
    await openPanel();
    const here = await rungs();
    expect(`a personal row for ${name}`, here.includes('personal'), here);
    await until('their history', profileEvents, (kinds) => kinds.length > 0);
    await picture('07-shop-as');
  });

  await step('everything fits a phone', async () => {
    await page.setViewportSize(PHONE);
    await page.goto(args.url, { waitUntil: 'networkidle' });
    await noOverflow('the home page on a phone');
    await picture('08-phone-home');
    await byId('product-card').first().locator('a').first().click();
    await byId('add-to-basket').first().waitFor();
    await page.waitForLoadState('networkidle');
    await noOverflow('the product page on a phone');
    await picture('09-phone-product');
    await page.goto(new URL('/basket', args.url).href, { waitUntil: 'networkidle' });
    await noOverflow('the basket on a phone');
    await picture('10-phone-basket');
  });
}

async function docs() {
  await step('the page of the API lists it, and tries out a request', async () => {
    await page.setViewportSize(DESKTOP);
    await page.goto(new URL('/docs', args.url).href, { waitUntil: 'networkidle' });
    const nOperations = await until('operations', () => page.locator('.opblock').count(), (n) => n > 20);
    const sections = await page.locator('.opblock-tag').allInnerTexts();
    expect('a section of recommendations', sections.some((text) => text.includes('recommendations')), { nOperations, sections });
    await picture('11-docs');
    const post = page.locator('#operations-recommendations-recommend_by_rules');
    await post.locator('.opblock-summary-control').click();
    await post.locator('.execute').click();
    const status = await post.locator('.live-responses-table tbody .response-col_status').first().innerText();
    expect('an answer to the request', status.startsWith('200'), status);
    await picture('12-docs-try');
  });
}

let failure;
try {
  await shop();
  await docs();
} catch (error) {
  failure = error;
  console.log(`     failed at ${page.url()}: ${error.message}`);
  if (troubles.length > 0) console.log(`     troubles: ${JSON.stringify(troubles, null, 2)}`);
  await picture('failure').catch(() => {});
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
process.exitCode = failure ? 1 : 0;
