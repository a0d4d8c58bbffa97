/** Clicks through the built page in a real Chromium: start, pause, go on, reset, on WebGPU, on wasm and without WebGPU. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright';
import { build, type PreviewServer, preview } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chromiumArgs } from '../../../vitest.browser.config.ts';

const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
const root = new URL('..', import.meta.url).pathname;

describe.skipIf(!existsSync(executablePath))('the page in Chromium', () => {
  let browser: Browser;
  let server: PreviewServer;
  let outDir: string;
  const errors: string[] = [];

  beforeAll(async () => {
    outDir = mkdtempSync(join(tmpdir(), 'browser-toy-'));
    await build({ root, logLevel: 'error', build: { outDir, emptyOutDir: true } });
    server = await preview({
      root,
      logLevel: 'error',
      build: { outDir },
      preview: { host: '127.0.0.1', port: 0 },
    });
    browser = await chromium.launch({ executablePath, args: chromiumArgs });
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await new Promise((resolve) => server?.httpServer.close(resolve));
    rmSync(outDir, { recursive: true, force: true });
  });

  async function open(query: string, init = ''): Promise<Page> {
    const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
    errors.length = 0;
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    if (init) await page.addInitScript(init);
    const { port } = server.httpServer.address() as { port: number };
    await page.goto(`http://127.0.0.1:${port}/${query}`);
    return page;
  }

  const text = (page: Page, id: string): Promise<string> =>
    page
      .locator(`#${id}`)
      .textContent()
      .then((value) => value ?? '');
  const step = async (page: Page): Promise<number> => Number((await text(page, 'step')).replaceAll(',', ''));
  const beyond = (page: Page, n: number): Promise<unknown> =>
    page.waitForFunction(
      (least) => Number(document.getElementById('step')!.textContent!.replaceAll(',', '')) > least,
      n,
      {
        timeout: 60_000,
      },
    );
  const coloured = (page: Page, id: string): Promise<boolean> =>
    page.evaluate((name) => {
      const canvas = document.getElementById(name) as HTMLCanvasElement;
      const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value, i) => i % 4 === 0 && data[i + 3] === 255 && value < 200);
    }, id);

  it('trains on wasm: start, pause, go on, reset', async () => {
    const page = await open('?backend=wasm');
    await page.click('#start');
    await beyond(page, 50);
    expect(await text(page, 'device')).toMatch(/^wasm/);
    expect(await coloured(page, 'truth')).toBe(true);
    expect(await coloured(page, 'latents')).toBe(true);
    expect(await coloured(page, 'directions')).toBe(true);
    await page.click('#pause');
    expect(await text(page, 'pause')).toBe('Go on');
    await page.waitForTimeout(500);
    const held = await step(page);
    await page.waitForTimeout(700);
    expect(await step(page)).toBe(held);
    await page.click('#pause');
    await beyond(page, held);
    expect(Number(await text(page, 'fvu'))).toBeGreaterThan(0);
    await page.click('#reset');
    expect(await text(page, 'step')).toBe('–');
    expect(await page.locator('#start').isEnabled()).toBe(true);
    await page.click('#start');
    await beyond(page, 10);
    expect(errors).toEqual([]);
    await page.close();
  }, 120_000);

  it('trains on webgpu to the end and says so', async () => {
    const page = await open('?backend=webgpu&steps=12');
    await page.click('#start');
    await beyond(page, 11);
    expect(await text(page, 'device')).toMatch(/^webgpu/);
    await page.waitForFunction(() => document.getElementById('start')!.textContent === 'Start again');
    expect(errors).toEqual([]);
    await page.close();
  }, 120_000);

  it('falls back to wasm with a notice where there is no WebGPU', async () => {
    const context = await chromium.launch({
      executablePath,
      args: chromiumArgs.filter((arg) => !arg.includes('webgpu')),
    });
    const page = await context.newPage();
    const { port } = server.httpServer.address() as { port: number };
    await page.goto(`http://127.0.0.1:${port}/?backend=webgpu&steps=400`);
    await page.click('#start');
    await beyond(page, 20);
    expect(await text(page, 'device')).toMatch(/^wasm/);
    expect(await text(page, 'notice')).toMatch(/^Running on wasm instead: webgpu: /);
    await context.close();
  }, 120_000);
});
