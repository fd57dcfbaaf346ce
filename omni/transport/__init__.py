"""Ways in and out: loopback, WebSocket, WebRTC, microphone."""
