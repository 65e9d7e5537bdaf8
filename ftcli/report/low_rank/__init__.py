"""The report's `lora`: which layers trained by matrices of low rank."""
