import { playwright } from '@vitest/browser-playwright';
import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** Flags that give a headless Chromium a WebGPU adapter (SwiftShader where there is no GPU). */
export const chromiumArgs: string[] = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';

const config: ViteUserConfig = defineConfig({
  server: {
    headers: {
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    },
  },
  // Named here so that a first run does not reload the page when it meets them.
  optimizeDeps: {
    include: [
      '@tensorflow/tfjs-core',
      '@tensorflow/tfjs-backend-cpu',
      '@tensorflow/tfjs-backend-wasm',
      '@tensorflow/tfjs-backend-webgpu',
      '@msae/schema > valibot',
      '@msae/web > comlink',
      '@msae/sampler > pure-rand/distribution/uniformFloat64',
      '@msae/sampler > pure-rand/distribution/uniformInt',
      '@msae/sampler > pure-rand/generator/xoroshiro128plus',
    ],
  },
  test: {
    name: 'browser',
    include: ['packages/*/test/**/*.browser.test.ts'],
    testTimeout: 120_000,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions: { executablePath, args: chromiumArgs } }),
      instances: [{ browser: 'chromium' }],
    },
  },
});

export default config;
