import { defineConfig, type ViteUserConfig } from 'vitest/config';

/**
 * Two projects: `node` runs every test/**.test.ts, `browser` runs *.browser.test.ts in a real Chromium
 * with WebGPU (CHROMIUM_PATH is set by tools/test.mjs). A folder named `bench` holds benchmarks, never tests.
 */
const config: ViteUserConfig = defineConfig({
  test: {
    projects: ['vitest.node.config.ts', 'vitest.browser.config.ts'],
  },
});

export default config;
