/** A writer that test/storeKilled.test.ts kills: resumes the store of argv[2] and writes rows up to argv[3]. */
import { openStoreWriter } from '../src/index.ts';
import { fileDirectory } from '../src/node/index.ts';
import { makeBatch } from './storeRows.ts';

const [directory, rows] = [process.argv[2]!, Number(process.argv[3])];
const writer = await openStoreWriter(fileDirectory(directory), {
  width: 16,
  columns: ['tokenIds', 'positions', 'docIds'],
  shardBytes: 100_000,
  existing: 'resume',
});
process.stdout.write(`${JSON.stringify(writer.committed)}\n`);
for (let row = writer.committed.rows; row < rows; ) {
  const end = Math.min(rows, row + 1 + ((row * 7) % 300));
  await writer.append(makeBatch(row, end, 16), { position: end });
  row = end;
}
await writer.close();
