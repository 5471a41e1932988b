// Shaka Player behind a small face: load, choose a quality, tell how it goes.

/* global shaka */

/** True where this browser can play at all. */
export function supported() {
  shaka.polyfill.installAll();
  return shaka.Player.isBrowserSupported();
}

/** Was a manifest or a segment refused: is its URL for another PoP, or its time over? */
export function isRefused(error) {
  return error?.code === shaka.util.Error.Code.BAD_HTTP_STATUS && error.data?.[1] === 403;
}

export class Player extends EventTarget {
  #player = null;
  #video;
  #startedAt = 0;

  constructor(video) {
    super();
    this.#video = video;
  }

  /** Loads a manifest, to begin at `atS` seconds; resolves when it may be played. */
  async load(url, atS = null) {
    await this.#player?.destroy();
    const player = new shaka.Player();
    this.#player = player;
    await player.attach(this.#video);
    player.configure({
      // A phone on a mobile network: start low, climb as the buffer allows.
      abr: { defaultBandwidthEstimate: 700_000, restrictToElementSize: true },
      streaming: {
        bufferingGoal: 30,
        rebufferingGoal: 1,
        retryParameters: { maxAttempts: 6, baseDelay: 500, backoffFactor: 2, fuzzFactor: 0.5, timeout: 30_000 },
      },
      manifest: { retryParameters: { maxAttempts: 6, baseDelay: 500, backoffFactor: 2, fuzzFactor: 0.5, timeout: 15_000 } },
    });
    player.addEventListener('error', (event) => this.#tell('failed', event.detail));
    player.addEventListener('adaptation', () => this.#tell('quality'));
    player.addEventListener('variantchanged', () => this.#tell('quality'));
    player.addEventListener('buffering', (event) => this.#tell('buffering', event.buffering));
    player.getNetworkingEngine().registerResponseFilter((type, response) => {
      if (type === shaka.net.NetworkingEngine.RequestType.SEGMENT) this.#tell('segment', response);
    });
    this.#startedAt = performance.now();
    this.#video.addEventListener('playing', () => {
      this.#tell('started', Math.round(performance.now() - this.#startedAt));
    }, { once: true });
    await player.load(url, atS);
  }

  /** What can be chosen: heights for pictures, bit rates for sound. */
  qualities() {
    const variants = this.#player?.getVariantTracks() ?? [];
    const byLabel = new Map();
    for (const track of variants) {
      const label = track.height ? `${track.height}p` : `${Math.round(track.bandwidth / 1000)} kb/s`;
      const best = byLabel.get(label);
      if (!best || track.bandwidth > best.bandwidth) byLabel.set(label, track);
    }
    return [...byLabel].sort((a, b) => b[1].bandwidth - a[1].bandwidth).map(([label, track]) => ({ label, id: String(track.id) }));
  }

  /** `auto`, or the id of a quality. */
  choose(id) {
    const automatic = id === 'auto';
    this.#player.configure({ abr: { enabled: automatic } });
    const track = this.#player.getVariantTracks().find((candidate) => String(candidate.id) === id);
    if (track) this.#player.selectVariantTrack(track, true);
  }

  /** The rendition that plays now, for people. */
  current() {
    const track = this.#player?.getVariantTracks().find((candidate) => candidate.active);
    if (!track) return '–';
    const rate = `${(track.bandwidth / 1e6).toFixed(2)} Mb/s`;
    return track.height ? `${track.width}×${track.height}, ${rate}` : rate;
  }

  async unload() {
    await this.#player?.unload();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
