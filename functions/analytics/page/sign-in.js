// Signing in at an issuer: OpenID Connect's authorization code flow with PKCE (RFC 7636). Only what
// the redirect must carry over is stored, and only until it comes back; tokens never are.

const PENDING = 'usage-sign-in';
const issuer = JSON.parse($('sign-in').dataset.issuer || 'null');
// The issuer knows this address as the page's redirect URI: without a slash at its end, and without
// parameters.
const REDIRECT = location.origin + location.pathname.replace(/\/+$/, '');

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

function unguessable() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

async function goToIssuer() {
  const pending = { verifier: unguessable(), state: unguessable(), nonce: unguessable(), view: location.hash };
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(pending.verifier));
  const address = new URL(issuer.authorizationEndpoint);
  const asked = {
    response_type: 'code',
    client_id: issuer.clientId,
    redirect_uri: REDIRECT,
    scope: issuer.scope,
    state: pending.state,
    nonce: pending.nonce,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(asked)) address.searchParams.set(name, value);
  location.assign(address);
}

// Takes the issuer's answer out of the address, and the view back in. Null if there is none.
function takeAnswer() {
  const answer = new URLSearchParams(location.search);
  if (!issuer || !(answer.has('code') || answer.has('error'))) return null;
  const pending = JSON.parse(sessionStorage.getItem(PENDING) || 'null');
  sessionStorage.removeItem(PENDING);
  history.replaceState(null, '', location.pathname + (pending?.view || ''));
  return { answer, pending };
}

// The ID token that the issuer gives for the code.
async function tokenFor({ answer, pending }) {
  // Another site may have sent the browser here, to sign its user in as somebody else.
  if (!pending || answer.get('state') !== pending.state) throw new Error('this sign-in was not begun in this tab');
  if (answer.has('error')) throw new Error(answer.get('error_description') || answer.get('error'));
  const exchanged = await fetch(issuer.tokenEndpoint, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code: answer.get('code'),
      redirect_uri: REDIRECT,
      client_id: issuer.clientId,
      code_verifier: pending.verifier,
    }),
    credentials: 'omit',
    referrerPolicy: 'no-referrer',
  }).catch(() => { throw new Error('the issuer does not answer'); });
  const body = await exchanged.json().catch(() => ({}));
  if (!exchanged.ok) throw new Error(body.error_description || body.error || `the issuer answered ${exchanged.status}`);
  if (claimsOf(body.id_token).nonce !== pending.nonce) throw new Error("the issuer's token is of another sign-in");
  return body.id_token;
}
