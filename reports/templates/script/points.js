function openPoint(id) { return id; }
