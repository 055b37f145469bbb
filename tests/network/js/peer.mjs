// A peer that nobody here wrote: dials a node, speaks its link and gossip, says what it saw, a JSON object a line.
// Usage: node peer.mjs MULTIADDR TOPIC
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const [address, topic] = process.argv.slice(2)
const CHUNK = 300_000 // more than one yamux window
const ACCEPT = 0xfffffffd
const PING = 0xffffffff
const PONG = 0xfffffffe

const say = (what) => console.log(JSON.stringify(what))
const text = (bytes) => new TextDecoder().decode(bytes)
const word = (number) => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}
const framed = (bytes) => {
  const whole = new Uint8Array(4 + bytes.length)
  whole.set(word(bytes.length))
  whole.set(bytes, 4)
  return whole
}

const node = await createLibp2p({
  addresses: { listen: [] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping(), pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) }
})
node.services.pubsub.addEventListener('message', (event) => {
  const message = event.detail?.msg ?? event.detail
  if (message.topic === topic) say({ hint: text(message.data) })
})

const connection = await node.dial(multiaddr(address))
say({ connected: connection.remotePeer.toString(), encryption: connection.encryption, muxer: connection.multiplexer })
await node.services.ping.ping(connection.remotePeer)
say({ ping: true })

const link = await connection.newStream('/medsync/link/1')
const send = async (bytes) => {
  if (!link.send(bytes)) await new Promise((resolve) => link.addEventListener('drain', resolve, { once: true }))
}
let held = new Uint8Array(0)
const read = async () => {
  for await (const part of link) {
    const bytes = part.subarray ? part.subarray() : part
    const joined = new Uint8Array(held.length + bytes.length)
    joined.set(held)
    joined.set(bytes, held.length)
    held = joined
    for (;;) {
      if (held.length < 4) break
      const size = new DataView(held.buffer, held.byteOffset).getUint32(0)
      if (size === ACCEPT) {
        held = held.slice(4)
        say({ accepted: true })
        await send(framed(new Uint8Array(CHUNK).fill(7)))
      } else if (size === PING) {
        held = held.slice(4)
        await send(word(PONG))
      } else {
        if (held.length < 4 + size) break
        const frame = held.slice(4, 4 + size)
        held = held.slice(4 + size)
        say({ frame: frame.length, first: frame[0] })
      }
    }
  }
  say({ link: 'ended' })
}
read().catch((error) => say({ error: error.message }))

node.services.pubsub.subscribe(topic)
while (node.services.pubsub.getSubscribers(topic).length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
say({ subscribers: node.services.pubsub.getSubscribers(topic).map(String) })
process.stdin.once('data', async () => {
  await node.services.pubsub.publish(topic, new TextEncoder().encode('from the foreign peer'))
  say({ published: true })
})
process.stdin.once('end', async () => {
  await node.stop()
  process.exit(0)
})
