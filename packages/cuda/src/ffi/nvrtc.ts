/** NVRTC: CUDA source → machine code for one architecture. */
import type { LibraryHandle } from 'koffi';
import { deviceError } from '../errors.ts';
import { openLibrary } from './libraries.ts';

export interface Nvrtc {
  readonly version: string;
  /** A cubin for `arch`, e.g. sm_90, and the compiler's log. @throws MsaeError `device` with the log where it does not compile. */
  compile(
    source: string,
    name: string,
    arch: string,
    options?: readonly string[],
  ): { cubin: Uint8Array; log: string };
}

let opened: Nvrtc | undefined;

export function openNvrtc(): Nvrtc {
  opened ??= bindNvrtc(openLibrary('nvrtc'));
  return opened;
}

function bindNvrtc(lib: LibraryHandle): Nvrtc {
  const u64 = 'uint64_t';
  const version = lib.func('nvrtcVersion', 'int', ['void *', 'void *']);
  const create = lib.func('nvrtcCreateProgram', 'int', [
    ...['void *', 'const char *', 'const char *', 'int', 'void *', 'void *'],
  ]);
  const compileProgram = lib.func('nvrtcCompileProgram', 'int', [u64, 'int', 'const char **']);
  const sized = (what: string): ((program: number) => Uint8Array) => {
    const size = lib.func(`nvrtcGet${what}Size`, 'int', [u64, 'void *']);
    const get = lib.func(`nvrtcGet${what}`, 'int', [u64, 'void *']);
    return (program) => {
      const bytes = new BigUint64Array(1);
      size(program, bytes);
      const out = new Uint8Array(Number(bytes[0]));
      if (out.length > 0) get(program, out);
      return out;
    };
  };
  const log = sized('ProgramLog');
  const cubin = sized('CUBIN');
  const destroy = lib.func('nvrtcDestroyProgram', 'int', ['void *']);
  const major = new Int32Array(1);
  const minor = new Int32Array(1);
  version(major, minor);
  return {
    version: `${major[0]}.${minor[0]}`,
    compile: (source, name, arch, options = []) => {
      const program = new BigUint64Array(1);
      if (create(program, source, `${name}.cu`, 0, null, null) !== 0)
        throw deviceError(`NVRTC refused ${name}.cu`);
      const handle = Number(program[0]);
      try {
        const flags = [`--gpu-architecture=${arch}`, '--std=c++17', ...options];
        const code = compileProgram(handle, flags.length, flags) as number;
        const text = Buffer.from(log(handle)).toString('utf8').replace(/\0$/, '');
        if (code !== 0)
          throw deviceError(`NVRTC ${major[0]}.${minor[0]} cannot compile ${name}.cu for ${arch}:\n${text}`, {
            cuda: code,
          });
        return { cubin: cubin(handle), log: text };
      } finally {
        destroy(program);
      }
    },
  };
}
