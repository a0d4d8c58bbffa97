/** Tries backends, each in a process of its own: a damaged library may throw, crash, or hang, and none of it matters here. */
import { fileURLToPath } from 'node:url';
import type { BackendDescription } from '@msae/core/backend';
import { PROBE_MARK, type ProbeAnswer, type ProbeRequest } from './probeProtocol.ts';
import { lastWords, type ProgramResult, runProgram } from './setup/runProgram.ts';
import { BACKENDS, type BackendName } from './useNode.ts';

export interface BackendProbe {
  readonly backend: BackendName;
  readonly usable: boolean;
  /** Why it is not usable. */
  readonly reason?: string;
  /** The command that would make it usable, if there is one. */
  readonly howTo?: string;
  readonly description?: BackendDescription;
  /** Rate of a float32 matrix product, checked against float64: 1024×1024, or 192×192 on slow backends. */
  readonly gflops?: number;
}

export interface ProbeReport {
  readonly node: string;
  readonly platform: string;
  readonly backends: readonly BackendProbe[];
  /** What `useNode()` would pick here. */
  readonly picked: BackendName | undefined;
}

export interface ProbeOptions {
  backends?: readonly BackendName[];
  threads?: number;
  /** Milliseconds given to each backend. Default 60 000. */
  timeout?: number;
  signal?: AbortSignal;
}

/** Probes one backend after the other. Never throws for a broken backend. */
export async function probeBackends(options: ProbeOptions = {}): Promise<ProbeReport> {
  const { backends = BACKENDS, threads, timeout = 60_000, signal } = options;
  const probes: BackendProbe[] = [];
  for (const backend of backends) {
    const answer = await ask({ backend, threads }, timeout, signal);
    if (answer.usable) {
      const { description, gflops } = answer;
      probes.push({ backend, usable: true, ...(description && { description }), ...(gflops && { gflops }) });
    } else {
      const [reason = '', howTo] = answer.reason
        .replace(new RegExp(`^${backend}: `), '')
        .split(/\.? Get it with: /);
      probes.push({ backend, usable: false, reason, ...(howTo && { howTo: howTo.replace(/\.$/, '') }) });
    }
  }
  const picked = probes.find((probe) => probe.usable && !isSoftwareGpu(probe))?.backend;
  return {
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    backends: probes,
    picked,
  };
}

/** Tests a tfjs-node package in a process of its own. */
export function probeNative(packageDir: string, signal?: AbortSignal): Promise<ProbeAnswer> {
  return ask({ packageDir }, 120_000, signal);
}

async function ask(
  request: ProbeRequest,
  timeout: number,
  signal: AbortSignal | undefined,
): Promise<ProbeAnswer> {
  const result = await runProgram(process.execPath, childArguments(request), { timeout, signal });
  const line = result.stdout.split('\n').find((text) => text.startsWith(PROBE_MARK));
  if (line) return JSON.parse(line.slice(PROBE_MARK.length)) as ProbeAnswer;
  return { usable: false, reason: died(result, timeout) };
}

/** In the checkout the probe is TypeScript, which Node 20 runs only through tsx. */
function childArguments(request: ProbeRequest): string[] {
  const typescript = import.meta.url.endsWith('.ts');
  const script = new URL(typescript ? './probe.ts' : './probe.js', import.meta.url);
  const loader = typescript ? ['--import', import.meta.resolve('tsx')] : [];
  return [...loader, fileURLToPath(script), JSON.stringify(request)];
}

function died(result: ProgramResult, timeout: number): string {
  if (result.timedOut) return `it did not answer within ${timeout / 1000} s and was stopped`;
  const how = result.signal ? `was ended by ${result.signal}` : `ended with code ${result.code}`;
  const hint = result.signal === 'SIGILL' ? ' (the processor lacks an instruction it was compiled for)' : '';
  return `the process that loaded it ${how}${hint}: ${lastWords(result)}`;
}

function isSoftwareGpu(probe: BackendProbe): boolean {
  return probe.backend === 'webgpu' && probe.description?.device.endsWith('(software)') === true;
}
