/**
 * Compiles every kernel with NVRTC for sm_80 and sm_90 (no device needed) and prints registers, shared memory and spills:
 * `npx tsx packages/cuda/scripts/compileKernels.ts [sm_90 …]`. NVRTC: `pip install nvidia-cuda-nvrtc`.
 */
import { openNvrtc } from '../src/ffi/nvrtc.ts';
import { common, files } from '../src/generated/kernels.ts';

const archs = process.argv.length > 2 ? process.argv.slice(2) : ['sm_80', 'sm_90'];
const nvrtc = openNvrtc();
process.stdout.write(`NVRTC ${nvrtc.version}\n`);
for (const arch of archs) {
  for (const [file, source] of Object.entries(files)) {
    const from = performance.now();
    const { cubin, log } = nvrtc.compile(`${common}\n${source}`, file, arch, ['--ptxas-options=-v']);
    const ms = Math.round(performance.now() - from);
    process.stdout.write(`${arch} ${file}: ${cubin.length} bytes, ${ms} ms\n`);
    for (const line of log.split('\n')) {
      const name = /Compiling entry function '(\w+)'/.exec(line)?.[1];
      if (name !== undefined) process.stdout.write(`  ${name.padEnd(22)}`);
      else if (/spill|Used \d+ registers|warning|error/.test(line))
        process.stdout.write(
          ` ${line.replace(/^ptxas info\s*:\s*/, '').trim()}${/registers/.test(line) ? '\n' : ''}`,
        );
    }
  }
}
