/** Runs golden cases in a real Chromium: vite serves this checkout, playwright drives the page. */
import { existsSync } from 'node:fs';
import type { GoldenResult } from '@msae/core/testing';
import { chromium } from 'playwright';
import { createServer } from 'vite';
import { chromiumArgs } from '../vitest.browser.config.ts';
import type { GoldenJob } from './goldenCases.ts';

const page = `<!doctype html><script type="module">
import { runCases } from '/tools/goldenPage.ts';
window.runCases = runCases;
</script>`;

/** The results of a job in Chromium. @throws Error if no Chromium is there or the page fails. */
export async function runInBrowser(job: GoldenJob): Promise<GoldenResult[]> {
  const executablePath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
  if (!existsSync(executablePath)) {
    throw new Error(`no Chromium at ${executablePath}; install one or set CHROMIUM_PATH to its program`);
  }
  const server = await createServer({
    root: new URL('..', import.meta.url).pathname,
    configFile: false,
    logLevel: 'error',
    appType: 'custom',
    server: { host: '127.0.0.1', port: 0, hmr: false },
    optimizeDeps: {
      include: ['@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu', '@tensorflow/tfjs-backend-webgpu'],
    },
    plugins: [
      {
        name: 'golden-page',
        configureServer(vite) {
          vite.middlewares.use('/golden.html', async (_request, response) => {
            response.setHeader('Content-Type', 'text/html');
            response.end(await vite.transformIndexHtml('/golden.html', page));
          });
        },
      },
    ],
  });
  const browser = await chromium.launch({ executablePath, args: chromiumArgs });
  try {
    await server.listen();
    const tab = await browser.newPage();
    const errors: string[] = [];
    tab.on('pageerror', (error) => errors.push(error.message));
    await tab.goto(`${server.resolvedUrls!.local[0]}golden.html`);
    await tab.waitForFunction('window.runCases', undefined, { timeout: 60_000 }).catch(() => {
      throw new Error(`the page did not load: ${errors.join('; ') || 'no error was reported'}`);
    });
    return await tab.evaluate(
      (given) => (window as unknown as { runCases(job: GoldenJob): Promise<GoldenResult[]> }).runCases(given),
      job,
    );
  } finally {
    await browser.close();
    await server.close();
  }
}
