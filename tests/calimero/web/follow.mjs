// A browser-side client, as Node 20 runs it: subscribes to a context, calls it, waits for the event. Prints one JSON object.
const [url, context] = process.argv.slice(2)
const socket = new WebSocket(url)
const waiting = new Map()
let told
const event = new Promise((resolve) => (told = resolve))
socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data)
  if (frame.id === null) told(frame.result)
  else waiting.get(frame.id)(frame)
}
const ask = (id, method, params) => {
  const answer = new Promise((resolve) => waiting.set(id, resolve))
  socket.send(JSON.stringify({ id, method, params }))
  return answer
}
socket.onerror = () => process.exit(2)
socket.onopen = async () => {
  const subscribed = await ask(1, 'subscribe', { contextIds: [context] })
  const set = await ask(2, 'execute', { contextId: context, method: 'set', argsJson: { key: 'a', value: 'from node' } })
  const got = await ask(3, 'execute', { contextId: context, method: 'get', argsJson: { key: 'a' } })
  const wrong = await ask(4, 'execute', { contextId: context, method: 'get', argsJson: {} })
  console.log(JSON.stringify({ subscribed, set, got, wrong, event: await event }))
  socket.close()
}
socket.onclose = () => process.exit(0)
