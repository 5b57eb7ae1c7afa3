// Questions to the API that serves this page.

const BASE = new URL(location.pathname.replace(/\/?$/, '/'), location.origin);

class Refused extends Error {
  constructor(status, body) {
    super(body.message || `the API answered ${status}`);
    this.status = status;
    this.parameter = body.parameter;
  }
}

async function ask(path, parameters = {}) {
  const address = new URL(path, BASE);
  for (const [name, value] of Object.entries(parameters)) {
    if (value) address.searchParams.set(name, value);
  }
  const answer = await fetch(address, { headers: { authorization: `Bearer ${token}` }, cache: 'no-store', referrerPolicy: 'no-referrer' });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

async function send(method, path, body) {
  const headers = { authorization: `Bearer ${token}` };
  if (body) headers['content-type'] = 'application/json';
  const answer = await fetch(new URL(path, BASE), { method, headers, body: body && JSON.stringify(body), cache: 'no-store', referrerPolicy: 'no-referrer' });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, told);
  return told;
}

async function json(path, parameters) {
  return (await ask(path, parameters)).json();
}

async function download(path, parameters, name) {
  const answer = await ask(path, { ...parameters, format: 'csv' });
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10e3);
}
