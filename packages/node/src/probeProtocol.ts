import type { BackendDescription } from '@msae/core/backend';
import type { BackendName } from './useNode.ts';

/** Before the line that matters: libraries write to stdout too. */
export const PROBE_MARK = '@msae-probe@';

export type ProbeRequest = { threads?: number | undefined } & (
  | { backend: BackendName }
  | { /** A tfjs-node package, loaded without looking for others. */ packageDir: string }
);

export type ProbeAnswer =
  | { usable: false; reason: string }
  | {
      usable: true;
      description?: BackendDescription;
      gflops?: number /** Of libtensorflow. */;
      version?: string;
    };
