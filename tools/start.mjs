/** `npm start`: sets the checkout up where needed, then runs the main job. Options after `--` go on to it. */
import { spawnSync } from 'node:child_process';
import { bin, checkNode, installPackages, root } from './setup.mjs';

checkNode();
installPackages();
// Ctrl-C reaches the job too, which saves a checkpoint: wait for it.
process.on('SIGINT', () => undefined);
const job = spawnSync(bin('tsx'), ['examples/brown-lm/src/main.ts', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
process.exitCode = job.status ?? 1;
