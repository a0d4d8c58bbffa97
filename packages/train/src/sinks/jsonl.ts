/** Events as JSON lines: one object a line, non-finite numbers as strings (JSON has none). */
import type { EventSink, TrainerEvent } from '../events.ts';

/** One event as one line, newline included. */
export function eventToJson(event: TrainerEvent): string {
  return `${JSON.stringify(event, (_key, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  )}\n`;
}

/** A sink that hands JSON lines to `write`; `close` is called once at the end. */
export function jsonlSink(options: {
  write: (line: string) => void | Promise<void>;
  close?: () => void | Promise<void>;
}): EventSink {
  return {
    write: (event) => options.write(eventToJson(event)),
    close: async () => {
      await options.close?.();
    },
  };
}
