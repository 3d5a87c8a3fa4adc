// Builds the package from source: `npm run build`. `--debug` takes the development profile of Cargo, `--ts` leaves Cargo out.
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const flags = process.argv.slice(2)
const require = createRequire(import.meta.url)

/** The name of this platform in the names of binaries and packages. */
export function platform() {
  const musl = process.platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime
  const libc = { win32: '-msvc', linux: musl ? '-musl' : '-gnu' }[process.platform] ?? ''
  return `${process.platform}-${process.arch}${libc}`
}

function run(command, args) {
  execFileSync(command, args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' })
}

if (!existsSync(join(root, 'node_modules', 'typescript'))) run('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error'])

if (!flags.includes('--ts')) {
  const debug = flags.includes('--debug')
  run('cargo', ['build', '-q', '--locked', '-p', 'campaign-node', ...(debug ? [] : ['--release'])])
  const metadata = JSON.parse(execFileSync('cargo', ['metadata', '--format-version', '1', '--no-deps'], { cwd: root, maxBuffer: 1 << 26 }))
  const file = { darwin: 'libcampaign_node.dylib', win32: 'campaign_node.dll' }[process.platform] ?? 'libcampaign_node.so'
  const binary = join(root, `campaign-node.${platform()}.node`)
  // Put in place whole, because a process may have the old one open.
  copyFileSync(join(metadata.target_directory, debug ? 'debug' : 'release', file), `${binary}.new`)
  // Lines of Rust sources are of no use to those who install it, and make it four times as large.
  if (!debug && process.platform === 'linux') run('strip', ['--strip-debug', `${binary}.new`])
  renameSync(`${binary}.new`, binary)
}

const dist = join(root, 'dist')
rmSync(dist, { recursive: true, force: true })
mkdirSync(dist, { recursive: true })
run(process.execPath, [require.resolve('typescript/package.json').replace('package.json', 'lib/tsc.js'), '-p', 'tsconfig.json'])

// There is one copy of every class: the modules for `import` hand on what `require` gives.
for (const name of ['index', 'testing']) {
  const names = Object.keys(require(join(dist, `${name}.js`))).sort()
  writeFileSync(join(dist, `${name}.mjs`), `import module from './${name}.js'\nexport const { ${names.join(', ')} } = module\n`)
  writeFileSync(join(dist, `${name}.d.mts`), `export * from './${name}.js'\n`)
}
