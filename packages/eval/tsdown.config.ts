import { defineConfig } from 'tsdown';

export default defineConfig({
  entry: ['src/index.ts', 'src/metricsEntry.ts'],
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  dts: true,
  sourcemap: true,
  clean: true,
  unbundle: true,
  fixedExtension: false,
});
