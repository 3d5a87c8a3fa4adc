// Makes the tarballs that are published: the package, and one with the binary of this platform, into the folder that is given.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const out = resolve(process.argv[2] ?? join(root, 'build', 'npm'))
const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Every platform that has a binary: how Rust and npm call it. */
const platforms = {
  'darwin-arm64': { os: ['darwin'], cpu: ['arm64'] },
  'darwin-x64': { os: ['darwin'], cpu: ['x64'] },
  'linux-arm64-gnu': { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
  'linux-x64-gnu': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'win32-x64-msvc': { os: ['win32'], cpu: ['x64'] },
}
const libc = { win32: '-msvc', linux: process.report.getReport().header.glibcVersionRuntime ? '-gnu' : '-musl' }[process.platform] ?? ''
const here = `${process.platform}-${process.arch}${libc}`
if (!(here in platforms)) throw new Error(`there is no package for ${here}; add it to scripts/pack.mjs`)

function pack(name, manifest, files) {
  const folder = join(out, name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const [from, to] of files) cpSync(from, join(folder, to), { recursive: true })
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  execFileSync('npm', ['pack', '--silent', '--pack-destination', out, folder], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'], shell: process.platform === 'win32' })
  rmSync(folder, { recursive: true })
}

mkdirSync(out, { recursive: true })
const { name, version, description, license, keywords, type, main, types, exports, engines } = own
const licences = ['LICENSE-APACHE', 'LICENSE-MIT'].map((file) => [join(root, '..', file), file])
const binary = `campaign-node.${here}.node`
pack(
  'package',
  {
    name, version, description, license, keywords, type, main, types, exports, engines, files: ['dist'],
    optionalDependencies: Object.fromEntries(Object.keys(platforms).map((platform) => [`${name}-${platform}`, version])),
  },
  [[join(root, 'dist'), 'dist'], [join(root, 'README.md'), 'README.md'], ...licences],
)
pack(
  'binary',
  { name: `${name}-${here}`, version, description: `${description} (${here})`, license, ...platforms[here], main: binary, files: [binary], engines },
  [[join(root, binary), binary], ...licences],
)
