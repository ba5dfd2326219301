"""What the scan log can do beyond showing rows, one module each. `window.ScanLog` creates them all."""
