/** What test/storeMemory.test.ts runs in a process of its own: writes or reads argv[2], prints its peak memory. */
import { openStore, openStoreWriter, streamRows } from '../src/index.ts';
import { fileDirectory } from '../src/node/index.ts';
import { makeBatch } from './storeRows.ts';

const [path, phase] = [process.argv[2]!, process.argv[3]];
const width = 512;
let rows = 0;
if (phase === 'write') {
  const batch = makeBatch(0, 2048, width);
  const writer = await openStoreWriter(fileDirectory(path), { width, columns: ['tokenIds'] });
  while (writer.rows < 250_000) await writer.append(batch);
  await writer.close();
  rows = writer.rows;
} else {
  const stream = streamRows(await openStore(fileDirectory(path)), { shuffle: 1 });
  for await (const batch of stream.batches({ batchSize: 2048 })) rows += batch.rows;
  await stream.close();
}
process.stdout.write(JSON.stringify({ rows, peakBytes: process.resourceUsage().maxRSS * 1024 }));
