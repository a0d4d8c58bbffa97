/**
 * Vulkan for Dawn on Linux: whether its loader is there at all, and SwiftShader, the software driver that comes with
 * every Chromium (correct results where there is no GPU, for tests).
 */
import { existsSync, readdirSync } from 'node:fs';
import { constants, homedir } from 'node:os';
import { join } from 'node:path';

const LOADER = 'libvulkan.so.1';
const MANIFEST = 'vk_swiftshader_icd.json';
const RTLD_NODELETE = 0x1000; // glibc and musl; Node names only the flags of POSIX

const FOLDERS = [
  '/usr/lib/chromium',
  '/usr/lib/chromium-browser',
  '/usr/lib64/chromium-browser',
  '/usr/lib64/chromium',
  '/opt/google/chrome',
  '/opt/chromium.org/chromium',
  '/snap/chromium/current/usr/lib/chromium-browser',
];

/** Folder of a Chromium with SwiftShader's Vulkan manifest, or `undefined`. */
export function findSwiftShader(): string | undefined {
  return [...FOLDERS, ...playwrightFolders()].find((folder) => existsSync(join(folder, MANIFEST)));
}

/** True if the environment already names the Vulkan driver to use. */
export function driverIsChosen(): boolean {
  return Boolean(process.env['VK_ICD_FILENAMES'] || process.env['VK_DRIVER_FILES']);
}

/**
 * Points the Vulkan loader at the SwiftShader in `folder` unless the environment names a driver, and brings Chromium's own
 * loader where the system has none.
 */
export function useSwiftShader(folder: string): void {
  if (!driverIsChosen()) process.env['VK_ICD_FILENAMES'] = join(folder, MANIFEST);
  if (!hasVulkanLoader()) preload(join(folder, LOADER));
}

/** True if Dawn will find the Vulkan loader (always true where Dawn uses another API). */
export function hasVulkanLoader(): boolean {
  return process.platform !== 'linux' || preload(LOADER);
}

/** Maps a shared library into the process for good, so that Dawn's dlopen of the same soname finds it. */
function preload(path: string): boolean {
  try {
    process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
    return true;
  } catch (error) {
    // Node refuses every library that is not an addon, but only after the system has loaded it.
    return error instanceof Error && error.message.includes('did not self-register');
  }
}

function playwrightFolders(): string[] {
  const root = process.env['PLAYWRIGHT_BROWSERS_PATH'] || join(homedir(), '.cache', 'ms-playwright');
  try {
    return readdirSync(root)
      .filter((name) => name.startsWith('chromium'))
      .map((name) => join(root, name, 'chrome-linux'));
  } catch {
    return [];
  }
}
