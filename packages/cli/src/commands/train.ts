/** `msae train DATA --out DIR`: train an SAE on stored activations, resumable at any moment. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { directoryStorage } from '@msae/train/node';
import { type CommandDef, defineCommand } from 'citty';
import { parseTrainConfig, type TrainConfig } from './trainConfig.ts';
import { flagSettings, mergeSettings, type TrainFlags, trainArgs } from './trainFlags.ts';
import { runFile, runTraining } from './trainRun.ts';

const command = defineCommand({
  meta: { name: 'train', description: 'Train an SAE on stored activations' },
  args: trainArgs,
  async run({ args }) {
    const flags = args as unknown as TrainFlags;
    try {
      const config = await settle(flags);
      const { finished } = await runTraining(config, {
        out: flags.out,
        resume: flags.resume ?? false,
        json: flags.json ?? false,
        tensorboard: flags.tensorboard ?? false,
      });
      if (!finished) process.exitCode = 130;
    } catch (error) {
      process.stderr.write(`msae train: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    }
  },
});

export default command as unknown as CommandDef;

/** The run's configuration: --config, or OUT/run.json of a run that is resumed, with the flags over it. */
async function settle(flags: TrainFlags): Promise<TrainConfig> {
  const own = join(flags.out, runFile);
  const checkpoints = await directoryStorage(join(flags.out, 'checkpoints')).list();
  if (!flags.resume && checkpoints.length > 0) {
    throw new Error(
      `--out: ${flags.out} holds a run already (${checkpoints.at(-1)}); add --resume to continue it, or name another directory`,
    );
  }
  if (flags.resume && checkpoints.length === 0) {
    throw new Error(
      `--resume: there is no checkpoint in ${join(flags.out, 'checkpoints')}; start without --resume`,
    );
  }
  const file = flags.config ?? (flags.resume ? own : undefined);
  const base = file === undefined ? {} : await readJson(file);
  const merged = mergeSettings(base, flagSettings(flags)) as { data?: unknown; sae?: { nLatents?: unknown } };
  if (merged.data === undefined)
    throw new Error('the data is missing: name it first, msae train DATA --out DIR');
  if (merged.sae?.nLatents === undefined)
    throw new Error('--latents: say how many latents the SAE shall have');
  return parseTrainConfig(merged, file ?? 'flags');
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${path}: ${cause.code === 'ENOENT' ? 'there is no such file' : cause.message}`, {
      cause,
    });
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path}: not valid JSON: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}
