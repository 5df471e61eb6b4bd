postern_login_sources =
