// A process that ends at an awkward moment, chosen by its argument. Its status must be 0 all the same.
import { Worker, isMainThread } from 'node:worker_threads'
import { Engine, SimulatedDialer, type Dialer } from 'campaign-node'
import { MemoryStore } from './memory-store.js'

const never = new Promise<never>(() => undefined)
const people = (count: number): Record<string, string>[] =>
  Array.from({ length: count }, (_, index) => ({ phone_number: `+1212555${String(1000 + index)}` }))
const spec = { name: 'x', concurrentLimit: 'unlimited', rateLimitPerMinute: 'unlimited' } as const
const soon = (): void => void setTimeout(() => process.exit(0), Math.random() * 40)

async function running(dialer: Dialer | SimulatedDialer, store: string | MemoryStore = 'memory://', count = 200): Promise<[Engine, number]> {
  const engine = await Engine.open(store, { dialer })
  const { id } = await engine.createCampaign(spec)
  await engine.addContacts(id, people(count))
  await engine.start(id)
  return [engine, id]
}

const moments: Record<string, () => unknown> = {
  'while it opens': () => {
    void Engine.open('sqlite::memory:', { dialer: { dial: () => 'answered' } })
    process.exit(0)
  },
  'with an idle engine that nobody closes': () => Engine.open('sqlite::memory:', { dialer: { dial: () => 'answered' } }),
  'while it imports': async () => {
    const engine = await Engine.open('sqlite::memory:', { dialer: new SimulatedDialer() })
    const { id } = await engine.createCampaign(spec)
    void engine.addContacts(id, people(8000))
    soon()
  },
  'while a stream is read': async () => {
    const engine = await Engine.open('memory://', { dialer: new SimulatedDialer() })
    const { id } = await engine.createCampaign(spec)
    void engine.importContacts(id, (async function* () { yield 'phone\n'; soon(); await never; yield '' })())
  },
  'inside of a dial': () => running({ dial: () => process.exit(0) }),
  'with dials that go on': async () => {
    await running({ dial: () => never })
    soon()
  },
  'with dials that come and go': async () => {
    await running({ dial: () => new Promise((resolve) => setTimeout(() => resolve('answered'), Math.random() * 20)) }, 'sqlite::memory:', 2000)
    soon()
  },
  'with the simulated carrier': async () => {
    await running(new SimulatedDialer({ profile: 'instant' }), 'sqlite::memory:', 4000)
    soon()
  },
  'while it closes': async () => {
    const [engine] = await running({ dial: () => never })
    void engine.close()
    soon()
  },
  'after it closed': async () => {
    const [engine, id] = await running({ dial: () => 'answered' })
    await engine.wait(id)
    await engine.close()
  },
  'after the end of a campaign that nobody closes': async () => {
    const [engine, id] = await running({ dial: () => 'answered' })
    await engine.wait(id)
  },
  'inside of a loop over events': async () => {
    const [engine, id] = await running({ dial: () => 'answered' })
    for await (const event of engine.events(id)) if (event.type === 'contact_completed') process.exit(0)
  },
  'with a store of one’s own': async () => {
    await running({ dial: () => 'answered' }, new MemoryStore(), 30)
    soon()
  },
  'while a campaign of one’s own decides': async () => {
    const engine = await Engine.open('memory://', { dialer: { dial: () => 'answered' }, campaigns: { own: { next: () => never } } })
    const { id } = await engine.createCampaign({ ...spec, campaignType: 'own' })
    await engine.addContacts(id, people(5))
    await engine.start(id)
    soon()
  },
  'while it simulates': async () => {
    const engine = await Engine.open('memory://', { dialer: new SimulatedDialer() })
    const { id } = await engine.createCampaign(spec)
    await engine.addContacts(id, people(2000))
    void engine.simulate(id)
    soon()
  },
  'with a worker thread that works': () => {
    const worker = new Worker(__filename, { argv: ['with dials that never end'] })
    worker.once('message', soon)
    worker.once('online', soon)
  },
  'after worker threads were ended in the middle of a campaign': () => {
    const workers = ['with dials that come and go', 'with a store of one’s own'].map((moment) => new Worker(__filename, { argv: [moment] }))
    for (const worker of workers) setTimeout(() => void worker.terminate(), 50 + Math.random() * 200)
    void Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)))).then(() => process.exit(0))
  },
  'after a worker thread was ended': () => {
    const worker = new Worker(__filename, { argv: ['with dials that never end'] })
    setTimeout(() => void worker.terminate(), Math.random() * 120)
    worker.once('exit', () => process.exit(0))
  },
  'inside of a policy': async () => {
    const engine = await Engine.open('sqlite::memory:', { dialer: { dial: () => 'answered' }, campaigns: { own: { next: () => process.exit(0) } } })
    const { id } = await engine.createCampaign({ ...spec, campaignType: 'own' })
    await engine.addContacts(id, people(5))
    await engine.start(id)
  },
  'inside of a store': async () => {
    const store = new MemoryStore()
    const claim = store.claim.bind(store)
    let claims = 0
    store.claim = (request) => (++claims === 2 ? process.exit(0) : claim(request))
    await running({ dial: () => new Promise((resolve) => setTimeout(resolve, 5, 'busy')) }, store, 50)
    soon()
  },
  'inside of what hears of errors': async () => {
    const engine = await Engine.open('memory://', { dialer: { dial: () => { throw new Error('x') } }, onError: () => process.exit(0) })
    const { id } = await engine.createCampaign(spec)
    await engine.addContacts(id, people(50))
    await engine.start(id)
  },
  'inside of what watches an import': async () => {
    const engine = await Engine.open('sqlite::memory:', { dialer: { dial: () => 'answered' } })
    const { id } = await engine.createCampaign(spec)
    void engine.importContacts(id, Buffer.from(`phone\n${people(5000).map((row) => row['phone_number']).join('\n')}\n`), { onProgress: () => process.exit(0) })
  },
  'inside of an abort': async () => {
    const [engine] = await running({
      dial: (_request, { signal }) => new Promise((resolve) => signal.addEventListener('abort', () => {
        resolve('cancelled')
        process.exit(0)
      })),
    })
    setImmediate(() => void engine.close())
  },
  'with an exception that only a handler hears of': async () => {
    process.once('uncaughtException', () => process.exit(0))
    await running({ dial: () => new Promise(() => setImmediate(() => { throw new Error('nobody catches this') })) })
  },
  'with readers of events that nobody reads': async () => {
    const [engine, id] = await running({ dial: () => 'answered' })
    void engine.events()
    void engine.events(id).next()
    void engine.events().toReadableStream()
    await engine.wait(id)
    soon()
  },
  'with two engines, of which one is closed': async () => {
    const [first] = await running({ dial: () => never })
    await running(new SimulatedDialer(), 'sqlite::memory:', 20)
    first.abort()
    soon()
  },
  'with an abort': async () => {
    const [engine] = await running({ dial: () => never })
    engine.abort()
  },
}

const moment = process.argv[2] ?? ''
if (moment === 'list') process.stdout.write(JSON.stringify(Object.keys(moments)))
else if (moment === 'with dials that never end' && !isMainThread) void running({ dial: () => never })
else void moments[moment]?.()
