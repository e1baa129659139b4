// The tiles of the dashboard: which value of the API, and how to say it.
const uptime = (s) => (s < 3600 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h ${Math.floor((s / 60) % 60)} min`);

export const tiles = [
  { key: "temperature", title: "Temperature", max: 85, text: (c) => `${c.toFixed(1)} °C` },
  { key: "memory", title: "Memory in use", max: 100, text: (percent) => `${Math.round(percent)} %` },
  { key: "uptime", title: "Up for", text: uptime },
];
