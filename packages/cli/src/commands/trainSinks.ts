/** Where `msae train` shows its events: a progress bar for people, JSON lines for programs. */
import { type EventSink, jsonlSink, type MetricsEvent } from '@msae/train';
import { Presets, SingleBar } from 'cli-progress';

/** JSON lines on stdout. */
export function jsonSink(): EventSink {
  return jsonlSink({ write: (line) => void process.stdout.write(line) });
}

/** A progress bar on stderr where it is a terminal, else one line for each report; warnings as lines in both. */
export function consoleSink(startStep: number): EventSink {
  const bar = process.stderr.isTTY ? progressBar() : null;
  let started = false;
  const line = (text: string): void => void process.stderr.write(`${bar && started ? '\n' : ''}${text}\n`);
  return {
    write(event) {
      if (event.type === 'warning') return line(`warning: ${event.message}`);
      if (event.type !== 'metrics') return;
      if (bar === null) return line(`step ${event.step}/${event.totalSteps}  ${figures(event)}`);
      if (!started) bar.start(event.totalSteps, startStep, { figures: '' });
      started = true;
      bar.update(event.step, { figures: figures(event) });
    },
    close: async () => bar?.stop(),
  };
}

function progressBar(): SingleBar {
  const format = '{bar} {value}/{total}  {figures}  {eta_formatted} left';
  return new SingleBar({ format, stream: process.stderr, hideCursor: true }, Presets.shades_classic);
}

function figures(event: MetricsEvent): string {
  const parts = [
    `loss ${event.loss.toPrecision(4)}`,
    // NaN where all rows of the batch are equal: there is no variance to explain
    `FVU ${Number.isFinite(event.fvu) ? event.fvu.toFixed(4) : '–'}`,
    `L0 ${event.l0.toFixed(1)}`,
    ...(event.deadFraction === null ? [] : [`dead ${(100 * event.deadFraction).toFixed(1)} %`]),
    `${Math.round(event.tokensPerSecond).toLocaleString('en')} rows/s`,
  ];
  return parts.join('  ');
}
