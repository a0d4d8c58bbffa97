/** Harvests into the folder it is given and says so after every batch: a process to be killed. */
import { harvestToStores } from '../../src/index.ts';
import { storeFolders } from '../../src/node/index.ts';
import { killedHarvest } from '../killedHarvest.ts';

const { model, documents, options } = await killedHarvest();
await harvestToStores(model, documents, {
  ...options,
  stores: storeFolders(process.argv[2]!, ['blocks.2.resid_post', 'blocks.0.mlp_out']),
  onProgress: ({ rows }) => process.stdout.write(`${rows}\n`),
});
