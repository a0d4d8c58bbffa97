/**
 * Bundles src/client into src/generated/client.ts, so that neither a checkout nor the published package needs a build step to make
 * a report: `npx tsx packages/report/scripts/bundle-client.ts`. A test fails when the bundle is not current.
 */
import { writeFile } from 'node:fs/promises';
import { bundleClient } from './bundleClient.ts';

const target = new URL('../src/generated/client.ts', import.meta.url);
await writeFile(target, await bundleClient());
