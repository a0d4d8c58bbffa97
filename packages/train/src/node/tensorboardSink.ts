/** TensorBoard event files on disk. */
import { type FileHandle, open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { makeDirectory } from '@msae/data/node';
import type { EventSink, MetricsEvent } from '../events.ts';
import { encodeScalarsEvent, encodeVersionEvent, tfRecord } from '../sinks/tensorboard.ts';

/**
 * A sink that writes `events.out.tfevents.<seconds>.<host>` into `directory` (made if missing), one scalar a tag,
 * and with `prefixes: true` also `prefix/<length>/…` for every prefix of a reported step (meant for fixed widths).
 */
export function tensorboardSink(options: { directory: string; prefixes?: boolean }): EventSink {
  let file: Promise<FileHandle> | null = null;
  let path = '';
  const start = async (): Promise<FileHandle> => {
    await makeDirectory(options.directory);
    const now = Date.now() / 1000;
    path = join(
      options.directory,
      `events.out.tfevents.${Math.floor(now)}.${hostname()}.${process.pid}.${counter++}`,
    );
    const handle = await open(path, 'a');
    await handle.appendFile(tfRecord(encodeVersionEvent(now)));
    return handle;
  };
  return {
    async write(event) {
      if (event.type !== 'metrics') return;
      file ??= start();
      const scalars = metricScalars(event, options.prefixes ?? false);
      await (await file).appendFile(tfRecord(encodeScalarsEvent(Date.now() / 1000, event.step, scalars)));
    },
    async close() {
      if (file === null) return;
      const handle = await file;
      file = null;
      await handle.sync();
      await handle.close();
    },
  };
}

let counter = 0;

function metricScalars(event: MetricsEvent, prefixes: boolean): Record<string, number> {
  const scalars: Record<string, number> = {
    'loss/total': event.loss,
    'loss/reconstruction': event.reconstruction,
    'loss/penalty': event.penalty,
    'loss/auxiliary': event.auxLoss,
    'quality/fvu': event.fvu,
    'quality/l0': event.l0,
    'optimizer/learning_rate': event.learningRate,
    'optimizer/penalty_coefficient': event.penaltyCoefficient,
    'speed/tokens_per_second': event.tokensPerSecond,
  };
  if (event.deadFraction !== null) scalars['quality/dead_fraction'] = event.deadFraction;
  if (event.gradNorm !== null) scalars['optimizer/gradient_norm'] = event.gradNorm;
  if (event.inputNorm !== null) scalars['input/norm'] = event.inputNorm;
  if (prefixes) {
    for (const prefix of event.prefixes) {
      scalars[`prefix/${prefix.length}/fvu`] = prefix.fvu;
      scalars[`prefix/${prefix.length}/reconstruction`] = prefix.reconstruction;
    }
  }
  return scalars;
}
