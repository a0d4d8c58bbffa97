/** `msae train DATA --out DIR`: train an SAE on stored activations, resumable at any moment. */
import { join } from 'node:path';
import { directoryStorage } from '@msae/train/node';
import { type CommandDef, defineCommand } from 'citty';
import { readJson } from '../configFile.ts';
import { UsageError } from '../usageError.ts';
import { parseTrainConfig, type TrainConfig } from './trainConfig.ts';
import { flagOfSetting, flagSettings, mergeSettings, type TrainFlags, trainArgs } from './trainFlags.ts';
import { runFile, runTraining } from './trainRun.ts';

const command = defineCommand({
  meta: { name: 'train', description: 'Train an SAE on stored activations' },
  args: trainArgs,
  async run({ args }) {
    const flags = args as unknown as TrainFlags;
    const config = await settle(flags);
    const { finished } = await runTraining(config, {
      out: flags.out,
      resume: flags.resume ?? false,
      json: flags.json ?? false,
      tensorboard: flags.tensorboard ?? false,
    });
    if (!finished) process.exitCode = 130;
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
    throw new UsageError('the data is missing: name it first, msae train DATA --out DIR');
  if (merged.sae?.nLatents === undefined)
    throw new UsageError('--latents: say how many latents the SAE shall have');
  return parseTrainConfig(merged, file ?? 'flags', flagOfSetting(flags));
}
