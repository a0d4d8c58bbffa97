/** A production build, minified, in real Chromium: where stock tfjs's threaded backend hangs. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
};

function serve(folder: string, isolated: boolean): Promise<Server> {
  const server = createServer(async (request, response) => {
    const path = request.url === '/' ? '/index.html' : request.url!.split('?')[0]!;
    try {
      const body = await readFile(join(folder, path));
      response.writeHead(200, {
        'content-type': types[extname(path)] ?? 'application/octet-stream',
        ...(isolated && {
          'cross-origin-opener-policy': 'same-origin',
          'cross-origin-embedder-policy': 'require-corp',
        }),
      });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

describe.skipIf(!existsSync(executablePath))('a bundled, minified page', () => {
  let folder = '';
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'msae-page-'));
    await build({
      root: fileURLToPath(new URL('./page/', import.meta.url)),
      logLevel: 'silent',
      configFile: false,
      build: { outDir: folder, emptyOutDir: true, minify: true, target: 'es2022' },
    });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each([
    [true, 2],
    [false, 1],
  ])('cross-origin isolated: %s, so %i threads', async (isolated, threads) => {
    const server = await serve(folder, isolated);
    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    try {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      await page.waitForFunction(() => 'result' in globalThis);
      const result = await page.evaluate(
        () =>
          (
            globalThis as unknown as {
              result: Promise<{ threads: number; failed: string[]; passed: number; product: number }>;
            }
          ).result,
      );
      expect(result.failed).toEqual([]);
      expect(result).toMatchObject({ threads, product: 300 });
      expect(result.passed).toBeGreaterThan(30);
    } finally {
      await browser.close();
      server.close();
    }
  });
});
