import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tensorboardSink } from '../src/node/index.ts';
import {
  crc32c,
  encodeScalarsEvent,
  encodeVersionEvent,
  maskedCrc32c,
  tfRecord,
} from '../src/sinks/tensorboard.ts';
import { metricsEvent } from './support/metricsEvent.ts';

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('the bytes', () => {
  it('crc32c agrees with the published check values (RFC 3720 B.4)', () => {
    expect(crc32c(ascii('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    expect(maskedCrc32c(new Uint8Array(0))).toBe(0xa282ead8);
  });

  it('equal a file that TensorBoard wrote itself', () => {
    const expected = readFileSync(new URL('./fixtures/tensorboard-events.bin', import.meta.url));
    const records = [
      encodeVersionEvent(1700000000.25),
      encodeScalarsEvent(1700000001.5, 1, { 'loss/total': 0.5 }),
      encodeScalarsEvent(1700000002.75, 300, { 'loss/total': 0.25, 'quality/l0': 12 }),
      encodeScalarsEvent(1700000003, 5_000_000_000, { 'quality/fvu': Number.NaN }),
    ].map(tfRecord);
    expect(Buffer.concat(records).equals(expected)).toBe(true);
  });
});

/** A Python with tensorboard: development machines only. Set TENSORBOARD_PYTHON to its interpreter. */
const python = process.env.TENSORBOARD_PYTHON;

describe('TensorBoard reads what the sink writes', () => {
  it.skipIf(python === undefined || !existsSync(python))(
    'every scalar of every step (set TENSORBOARD_PYTHON to a Python with tensorboard to run this)',
    async () => {
      const directory = mkdtempSync(join(tmpdir(), 'msae-tensorboard-'));
      try {
        const sink = tensorboardSink({ directory, prefixes: true });
        await sink.write(metricsEvent({ step: 100, loss: 0.5, fvu: 0.125 }));
        await sink.write(metricsEvent({ step: 200, loss: 0.25, fvu: 0.0625 }));
        await sink.close();
        const [file] = readdirSync(directory);
        const script = new URL('./python/tensorboard_read.py', import.meta.url).pathname;
        const read = JSON.parse(
          execFileSync(python as string, [script, join(directory, file as string)], { encoding: 'utf8' }),
        ) as { step: number; tag: string; value: number }[];
        const value = (step: number, tag: string): number | undefined =>
          read.find((row) => row.step === step && row.tag === tag)?.value;
        expect(value(100, 'loss/total')).toBe(0.5);
        expect(value(200, 'loss/total')).toBe(0.25);
        expect(value(200, 'quality/fvu')).toBe(0.0625);
        expect(value(200, 'prefix/4/fvu')).toBe(0.5);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
  );
});
